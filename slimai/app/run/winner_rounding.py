"""Compensated weights for what is delivered: scored like any candidate, kept if not worse.

With `weight_rounding: auto` the search ranks candidates with nearest weights, which are on disk by then; the winner's
are fitted at its own limits, since no other candidate shares them. With `compensated` alone a model with nearest
weights is there before the rounding begins.
"""

from __future__ import annotations

from dataclasses import replace

from slimai import interrupts
from slimai.app.candidates.programs import Programs
from slimai.app.candidates.quantizer import Quantizer
from slimai.app.float_pass.weight_rounding import RoundingStoppedError
from slimai.app.run.winner_again import rescored
from slimai.search.candidate import Candidate, Outcome, Variant, compensated_candidate
from slimai.search.loop import INTERRUPTED, SearchSetup, SearchState, search
from slimai.search.units import Inline


def round_winner(
    quantizer: Quantizer, setup: SearchSetup, state: SearchState, winner: Outcome | None, memory_limit: int
) -> SearchState:
    """Return `state` with the winner's compensated form beside it, where the configuration leaves the choice.

    winner: what the search would deliver. The compensated network stands before it, and so wins a tie.
    """
    if winner is None or not _left_open(quantizer, winner):
        return state
    if state.cut_short:
        setup.reporter.line(f"weight rounding: left out ({state.cut_short})")
        return state
    compensated = compensated_candidate(winner.candidate, own_limits=True)
    try:
        rounding = quantizer.rounding(compensated)
    except RoundingStoppedError as stop:
        setup.reporter.line(f"weight rounding: not finished, nearest weights are delivered ({stop})")
        return SearchState(state.outcomes, f"weight rounding: {stop}")
    except KeyboardInterrupt:
        return SearchState(state.outcomes, INTERRUPTED)
    if not rounding.layers:
        setup.reporter.line("weight rounding: no layer gains on held-out images, nearest weights are delivered")
        return state
    return rescored(quantizer, setup, state, (winner, compensated), memory_limit, "weight rounding")


def round_before(quantizer: Quantizer, setup: SearchSetup, memory_limit: int) -> SearchState | None:
    """Have all roundings ready where every candidate has compensated weights; None, or what the run ends with.

    The first setting is scored with nearest weights before, so that a model is on disk while the rounding goes on. It
    is what is delivered where the time limit or an interruption ends that.
    """
    if quantizer.job.config.quantization.weight_rounding != ("compensated",):
        return None
    first = setup.candidates[0].without(Variant.COMPENSATED)
    programs = Programs(quantizer, memory_limit, most=1)
    inline = Inline(programs.runner, setup.validation, setup.metric, release=programs.clear)
    found = search(replace(setup, candidates=(first,), executor=inline, strategy="exhaustive"))
    if found.cut_short:
        return found
    try:
        for level in dict.fromkeys(item.level for item in setup.candidates):
            quantizer.rounding(Candidate(level))
    except RoundingStoppedError as stop:
        setup.reporter.line(f"weight rounding: not finished, nearest weights are delivered ({stop})")
        return SearchState(found.outcomes, f"weight rounding: {stop}")
    except KeyboardInterrupt:
        interrupts.answered()
        return SearchState(found.outcomes, INTERRUPTED)
    return None


def _left_open(quantizer: Quantizer, winner: Outcome) -> bool:
    """Return whether the configuration leaves the rounding of this winner open: 8-bit weights that slimai makes."""
    config = quantizer.job.config
    auto = config.quantization.weight_rounding == ("auto",)
    return auto and config.network.model_type == "float" and winner.candidate.level != 4
