"""The winner in another form, scored on the same images beside it."""

from __future__ import annotations

from dataclasses import replace

from slimai.app.candidates.programs import Programs
from slimai.app.candidates.quantizer import Quantizer
from slimai.search.candidate import Candidate, Outcome
from slimai.search.loop import SearchSetup, SearchState, search
from slimai.search.units import Inline


def rescored(
    quantizer: Quantizer,
    setup: SearchSetup,
    state: SearchState,
    pair: tuple[Outcome, Candidate],
    memory_limit: int,
    what: str,
) -> SearchState:
    """Return `state` with the outcome of the other form before the winner's, so that it wins a tie.

    pair: the winner, and its other form. what: the form, for the line that tells the result.
    """
    winner, other = pair
    programs = Programs(quantizer, memory_limit, most=1)
    found = search(
        replace(
            setup,
            candidates=(winner.candidate, other),
            executor=Inline(programs.runner, setup.validation, setup.metric),
            strategy="exhaustive",
            on_outcome=lambda _: None,
        )
    )
    outcome = next((item for item in found.outcomes if item.candidate == other), None)
    setup.reporter.line(f"{what}: {_verdict(winner, outcome, found.cut_short)}")
    if outcome is None:
        return replace(state, cut_short=found.cut_short)
    place = state.outcomes.index(winner)
    outcomes = [*state.outcomes[:place], outcome, *state.outcomes[place:]]
    merged = replace(state, outcomes=outcomes, cut_short=found.cut_short)
    setup.on_outcome(merged)
    return merged


def _verdict(winner: Outcome, other: Outcome | None, cut_short: str) -> str:
    if other is None or other.status != "full" or other.score is None or winner.score is None:
        return f"not scored on all images ({cut_short or 'no score'}): the winner stays as it is"
    kept = "taken" if other.score >= winner.score else "worse: the winner stays as it is"
    return f"score {winner.score:.4f} -> {other.score:.4f}, {kept}"
