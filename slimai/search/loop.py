"""Strategy x executor x journal: score candidates, keep the best so far on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from slimai.search.candidate import Candidate
from slimai.search.contest import Contest, Entrant, SearchSetup, SearchState
from slimai.search.units import Unit

INTERRUPTED = "interrupted"

__all__ = ["INTERRUPTED", "SearchSetup", "SearchState", "search"]


def search(setup: SearchSetup) -> SearchState:
    """Return the outcomes of the candidates under the setup's strategy.

    At least one candidate is always completed; after the deadline, or an interruption from the keyboard, the
    rest is left out and `cut_short` says so.
    """
    from slimai.search.racing import racing

    steps = len(setup.candidates) * len(setup.validation.samples)
    with setup.reporter.stage("score candidates", steps) as stage:
        contest = Contest(setup, stage)
        try:
            return racing(contest) if setup.strategy == "racing" else exhaustive(contest)
        except KeyboardInterrupt:
            contest.state.cut_short = INTERRUPTED
            contest.publish()
            return contest.state
        finally:
            setup.executor.close()


def exhaustive(contest: Contest) -> SearchState:
    """Score every candidate on the whole validation set, in order; equal integers are scored once."""
    setup = contest.setup
    running: deque[Entrant] = deque()
    for measured in setup.executor.stream(_units(contest, running), contest.stage.advance):
        entrant = running.popleft()
        entrant.records.extend(measured.records)
        if measured.complete:
            contest.settle(entrant, "full")
        else:
            contest.keep_records(entrant)
            contest.settle(entrant, "partial", "time limit")
            contest.state.cut_short = "time limit within a candidate"
        contest.publish()
    contest.publish()
    return contest.state


def _units(contest: Contest, running: deque[Entrant]) -> Iterator[Unit]:
    """Yield the work of each candidate whose integers are new, until the deadline; the first has no deadline."""
    setup = contest.setup
    order = range(len(setup.validation.samples))
    waiting = [candidate for candidate in setup.candidates if not _taken_over(contest, candidate, len(order))]
    if len(waiting) < len(setup.candidates):
        contest.publish()
    first = contest.state.best is None
    for position, candidate in enumerate(waiting):
        if contest.late() and not first:
            contest.state.cut_short = f"time limit with {len(waiting) - position} candidates not begun"
            return
        entrant = contest.enter(candidate)
        if len(entrant.candidates) > 1 or entrant.outcome is not None:
            contest.stage.advance(len(order))
            continue
        running.append(entrant)
        yield contest.unit(entrant, order, limited=not first)
        first = False


def _taken_over(contest: Contest, candidate: Candidate, images: int) -> bool:
    if not contest.settled(candidate):
        return False
    contest.stage.advance(images)
    return True
