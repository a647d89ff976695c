"""Empirical bias correction of the winner: its own integer layers' channel means, pulled to those of the float network.

Search runs with the analytic correction alone (SPEC 8.4). The corrected network is scored like any candidate, under
the winner's name with `_empirical`, and takes the winner's place unless it is worse.
"""

from __future__ import annotations

from slimai.app.candidates.quantizer import Quantizer
from slimai.app.run.winner_again import rescored
from slimai.search.candidate import Outcome, corrected_candidate
from slimai.search.loop import SearchSetup, SearchState


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
    return rescored(quantizer, setup, state, (winner, corrected), memory_limit, "empirical bias correction")
