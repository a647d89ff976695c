"""Empirical bias correction of the winner: its own integer layers' channel means, pulled to those of the float network.

Search runs with the analytic correction alone (SPEC 8.4). The corrected network is scored like any candidate, under
the winner's name with `_empirical`, and takes the winner's place unless it is worse.
"""

from __future__ import annotations

from dataclasses import replace

from slimai.app.candidates.programs import Programs
from slimai.app.candidates.quantizer import Quantizer
from slimai.search.candidate import Outcome, corrected_candidate
from slimai.search.loop import SearchSetup, SearchState, search
from slimai.search.units import Inline


def correct_winner(
    quantizer: Quantizer, setup: SearchSetup, state: SearchState, winner: Outcome | None, memory_limit: int
) -> SearchState:
    """Return `state` with the empirically corrected winner beside the winner, where the configuration asks for it.

    winner: what the search would deliver. The corrected network stands before it, and so wins a tie.
    """
    if winner is None or not quantizer.aids(winner.candidate).empirical:
        return state
    if state.cut_short:
        setup.reporter.line(f"empirical bias correction: left out ({state.cut_short})")
        return state
    corrected = corrected_candidate(winner.candidate)
    programs = Programs(quantizer, memory_limit, most=1)
    found = search(
        replace(
            setup,
            candidates=(winner.candidate, corrected),
            executor=Inline(programs.runner, setup.validation, setup.metric),
            strategy="exhaustive",
            on_outcome=lambda _: None,
        )
    )
    outcome = next((item for item in found.outcomes if item.candidate == corrected), None)
    setup.reporter.line(f"empirical bias correction: {_verdict(winner, outcome, found.cut_short)}")
    if outcome is None:
        return SearchState(state.outcomes, found.cut_short)
    place = state.outcomes.index(winner)
    merged = SearchState([*state.outcomes[:place], outcome, *state.outcomes[place:]], found.cut_short)
    setup.on_outcome(merged)
    return merged


def _verdict(winner: Outcome, corrected: Outcome | None, cut_short: str) -> str:
    if corrected is None or corrected.status != "full" or corrected.score is None or winner.score is None:
        return f"not scored on all images ({cut_short or 'no score'}): the winner stays as it is"
    kept = "taken" if corrected.score >= winner.score else "worse: the winner stays as it is"
    return f"score {winner.score:.4f} -> {corrected.score:.4f}, {kept}"
