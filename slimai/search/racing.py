"""The racing strategy: all candidates on the same growing part of the images, the hopeless dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.search.certified import Certificate, certified_rungs
from slimai.search.contest import Contest, Entrant, SearchState
from slimai.search.race import behind, image_order, paired_differences, rungs
from slimai.search.rounds import complete_any, entered, finish_late, run_rung, state_guarantee, unsettled
from slimai.search.set_racing import float_records_of_a_set, race_over_a_set

OUTSIDE = 1e-9


def racing(contest: Contest) -> SearchState:
    """Return the outcomes: finalists scored on all images, dropped ones ``partial`` on those they saw.

    The winner is the exhaustive one, or one whose full score is within the tolerance of it, at the stated
    confidence. Every decision depends on records alone, so a resumed race takes the same turns. A score over a set is
    raced for by `race_over_a_set`.
    """
    floats = float_records_of_a_set(contest.setup)
    if floats is not None:
        race_over_a_set(contest, floats)
    else:
        _race_over_means(contest)
    contest.publish()
    return contest.state


def _race_over_means(contest: Contest) -> None:
    setup = contest.setup
    images = len(setup.validation.samples)
    order = image_order(images, setup.seed)
    alive, in_time = entered(contest)
    judge = _judge(contest, len(alive), images)
    for seen in judge.rungs if in_time else ():
        in_time = run_rung(contest, alive, order[:seen])
        alive = unsettled(alive)
        if not in_time:
            break
        if seen < images:
            alive = _dropped(contest, judge, alive, seen, images)
    if not in_time:
        finish_late(contest, alive, order)
    for entrant in alive if in_time else ():
        contest.settle(entrant, "full")
    complete_any(contest, order)
    judge.finish(contest, order)


@dataclass
class _Judge:
    """Who decides what leaves the race, and after how many images it is asked; without a certificate, errors of means.

    missing: why a certificate that was asked for does not hold.
    """

    rungs: list[int]
    certificate: Certificate | None = None
    missing: str = ""

    @property
    def certified(self) -> bool:
        """Whether the certificate decides."""
        return self.certificate is not None and not self.missing

    def finish(self, contest: Contest, order: Sequence[int]) -> None:
        """Score those whose witness has failed since, and say what the race guarantees, where it was asked to."""
        if self.certificate is not None and not self.missing and not contest.state.cut_short:
            while True:
                full = [key for key, item in contest.entrants.items() if _is_full(item)]
                lost = [contest.entrants[key] for key in self.certificate.orphans(full) if key not in full]
                lost = [item for item in lost if item.outcome is not None and item.outcome.status == "partial"]
                if not lost or not contest.complete_one(lost, order):
                    break
        state_guarantee(contest, self.missing)


def _is_full(entrant: Entrant) -> bool:
    return entrant.outcome is not None and entrant.outcome.status == "full"


def _judge(contest: Contest, entrants: int, images: int) -> _Judge:
    setup = contest.setup
    if setup.guarantee == "none":
        return _Judge(rungs(images))
    return _Judge(certified_rungs(images), Certificate(entrants, images, setup.tolerance, setup.error))


def _dropped(contest: Contest, judge: _Judge, alive: list[Entrant], seen: int, images: int) -> list[Entrant]:
    """Return those that stay; the others are settled as partial and tell why."""
    found = [(entrant, contest.combined(entrant, entrant.records[:seen])) for entrant in alive]
    alive, results = [entrant for entrant, _ in found if entrant.outcome is None], [item for _, item in found if item]
    if not alive:
        return alive
    scores = [float("-inf") if result.score is None else result.score for result in results]
    values = [result.per_image for result in results]
    leaving = _certified(judge, alive, values)
    if leaving is not None:
        verdicts = [entrant.key in leaving for entrant in alive]
    else:
        verdicts = _behind(contest, scores, values, seen, images)
    for entrant, result, out in zip(alive, results, verdicts, strict=True):
        if out:
            contest.settle(entrant, "partial", f"behind after {seen} images", images=seen, result=result)
            contest.stage.advance(images - seen)
    contest.publish()
    return [entrant for entrant, out in zip(alive, verdicts, strict=True) if not out]


def _behind(
    contest: Contest,
    scores: Sequence[float],
    values: Sequence[NDArray[np.float64] | None],
    seen: int,
    images: int,
) -> list[bool]:
    """Return who is behind, by means over the images; nobody while the metric gives an image of them no score."""
    known = [row for row in values if row is not None]
    if len(known) < len(scores):
        return [False] * len(scores)
    differences = paired_differences(np.array(known), int(np.argmax(scores)))
    return behind(scores, differences, seen=seen, images=images, tolerance=contest.setup.tolerance)


def _certified(
    judge: _Judge, alive: Sequence[Entrant], values: Sequence[NDArray[np.float64] | None]
) -> set[str] | None:
    """Return the keys of those that leave by the certificate; None where it does not decide."""
    known = {entrant.key: row for entrant, row in zip(alive, values, strict=True) if row is not None}
    if judge.certified and any(row.min() < -OUTSIDE or row.max() > 1 + OUTSIDE for row in known.values()):
        judge.missing = "the metric gives an image a score outside 0..1"
    return judge.certificate.dropped(known) if judge.certificate is not None and not judge.missing else None
