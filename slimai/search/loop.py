"""Strategy x executor x journal: score candidates, keep the best so far on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from slimai.errors import InputError, SlimaiError
from slimai.interrupts import answered
from slimai.search.candidate import Candidate
from slimai.search.contest import Contest, SearchSetup, SearchState
from slimai.search.racing import racing
from slimai.search.units import Unit

INTERRUPTED = "interrupted"

__all__ = ["INTERRUPTED", "SearchSetup", "SearchState", "search"]


def search(setup: SearchSetup) -> SearchState:
    """Return the outcomes of the candidates under the setup's strategy.

    At least one candidate is always completed; after the time limit, or an interruption from the keyboard, the
    rest is left out and `cut_short` says so. A candidate that cannot be planned, compiled or run is `failed`.

    Raises:
        SlimaiError: all candidates failed; every reason is told. InputError, when it is one for all.
    """
    steps = len(setup.candidates) * len(setup.validation.samples)
    with setup.reporter.stage("score candidates", steps) as stage:
        contest = Contest(setup, stage)
        try:
            state = racing(contest) if setup.strategy == "racing" else exhaustive(contest)
        except KeyboardInterrupt:
            answered()
            contest.state.cut_short = INTERRUPTED
            contest.publish()
            return contest.state
        finally:
            setup.executor.close()
            setup.watch.keep()
    if state.outcomes and all(item.status == "failed" for item in state.outcomes):
        raise _all_failed(
            {item: setup.failures[item] for item in setup.candidates if item in setup.failures}, setup.network
        )
    return state


def _all_failed(failures: Mapping[Candidate, SlimaiError], network: str) -> SlimaiError:
    """Return the error of a search without a result: the one reason of all, or each reason with its candidates."""
    reasons: dict[str, list[str]] = {}
    for candidate, error in failures.items():
        reasons.setdefault(str(error), []).append(f"{candidate.profile(network)} level {candidate.level}")
    first = next(iter(failures.values()))
    if len(reasons) == 1 and isinstance(first, InputError):
        return first
    told = (f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}: {why}" for why, names in reasons.items())
    return SlimaiError("\n".join((f"smart_search: all {len(failures)} candidates failed", *told)))


def exhaustive(contest: Contest) -> SearchState:
    """Score every candidate on the whole validation set; equal integers are scored once.

    The last comes first, then the others in order: with the most bits and the widest range it is most often the best,
    and a best is written to disk before the next one is scored.
    """
    images = len(contest.setup.validation.samples)
    waiting = deque(item for item in contest.setup.candidates if not _taken_over(contest, item, images))
    if len(waiting) < len(contest.setup.candidates):
        contest.publish()
    waiting.rotate(1)
    while True:
        for measured in contest.setup.executor.stream(_units(contest, waiting), contest.on_batch):
            entrant, complete = contest.take_in(measured)
            if complete:
                contest.settle(entrant, "full")
            elif entrant.outcome is None and entrant.records:
                contest.keep_records(entrant)
                contest.settle(entrant, "partial", "time limit")
            contest.publish()
        if contest.has_full() or contest.complete_one(contest.unfinished(), range(images)) or not waiting:
            break
    contest.state.cut_short = _cut_short(contest, len(waiting))
    contest.publish()
    return contest.state


def _units(contest: Contest, waiting: deque[Candidate]) -> Iterator[Unit]:
    """Yield the work of each candidate whose integers are new, until the time limit; one is begun whatever the time."""
    order = range(len(contest.setup.validation.samples))
    while waiting and not (contest.late() and contest.begun()):
        entrant = contest.enter(waiting.popleft())
        if len(entrant.candidates) > 1 or entrant.outcome is not None:
            contest.stage.advance(len(order))
        else:
            yield contest.unit(entrant, order, contest.setup.watch.left(), len(waiting))


def _cut_short(contest: Contest, waiting: int) -> str:
    """Return why not all is scored, or an empty string."""
    if waiting:
        return f"time limit with {waiting} candidates not begun"
    return "time limit within a candidate" if contest.unfinished() else ""


def _taken_over(contest: Contest, candidate: Candidate, images: int) -> bool:
    if not contest.settled(candidate):
        return False
    contest.stage.advance(images)
    return True
