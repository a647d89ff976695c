"""The racing strategy: all candidates on the same growing part of the images, the hopeless dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.base import Record
from slimai.search.certified import Certificate, certified_rungs
from slimai.search.contest import Contest, Entrant, SearchState
from slimai.search.guarantee import Guarantee
from slimai.search.race import (
    behind,
    first_of_a_set,
    image_order,
    jackknife_differences,
    paired_differences,
    rungs,
)
from slimai.search.units import Unit

OUTSIDE = 1e-9


def racing(contest: Contest) -> SearchState:
    """Return the outcomes: finalists scored on all images, dropped ones ``partial`` on those they saw.

    The winner is the exhaustive one, or one whose full score is within the tolerance of it, at the stated
    confidence. Every decision depends on records alone, so a resumed race takes the same turns.
    """
    setup = contest.setup
    images = len(setup.validation.samples)
    order = image_order(images, setup.seed)
    alive, in_time = _entered(contest)
    judge = _judge(contest, len(alive), images)
    for seen in judge.rungs if in_time else ():
        in_time = _run_rung(contest, alive, order[:seen])
        alive = _unsettled(alive)
        if not in_time:
            break
        if seen < images:
            alive = _dropped(contest, judge, alive, seen, images)
    if not in_time:
        _finish_late(contest, alive, order)
    for entrant in alive if in_time else ():
        contest.settle(entrant, "full")
    _complete_any(contest, order)
    judge.finish(contest, order)
    contest.publish()
    return contest.state


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
        setup = contest.setup
        if setup.guarantee == "none":
            return
        if self.certificate is not None and not self.missing and not contest.state.cut_short:
            while True:
                full = [key for key, item in contest.entrants.items() if _is_full(item)]
                lost = [contest.entrants[key] for key in self.certificate.orphans(full) if key not in full]
                lost = [item for item in lost if item.outcome is not None and item.outcome.status == "partial"]
                if not lost or not contest.complete_one(lost, order):
                    break
        run = sum(item.outcome.images for item in contest.entrants.values() if item.outcome is not None)
        missing = self.missing or contest.state.cut_short
        share = run / max(1, len(contest.entrants) * len(order))
        contest.state.guarantee = Guarantee(setup.tolerance, setup.error, share, missing)


def _is_full(entrant: Entrant) -> bool:
    return entrant.outcome is not None and entrant.outcome.status == "full"


def _judge(contest: Contest, entrants: int, images: int) -> _Judge:
    setup = contest.setup
    if setup.guarantee == "none":
        return _Judge(rungs(images))
    return _Judge(certified_rungs(images), Certificate(entrants, images, setup.tolerance, setup.error))


def _entered(contest: Contest) -> tuple[list[Entrant], bool]:
    """Return the entrants of all candidates, and whether the time limit left the time to quantize them all."""
    for candidate in contest.setup.candidates:
        if contest.late() and contest.begun() and not contest.planned(candidate):
            return _unsettled(contest.entrants.values()), False
        contest.enter(candidate)
    return _unsettled(contest.entrants.values()), True


def _unsettled(entrants: Iterable[Entrant]) -> list[Entrant]:
    return [entrant for entrant in entrants if entrant.outcome is None]


def _run_rung(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> bool:
    """Bring every entrant that does not fail to the images `order`; False when the time limit came first."""
    short = [entrant for entrant in alive if len(entrant.records) < len(order)]

    def units() -> Iterator[Unit]:
        for place, entrant in enumerate(short, start=1):
            spare = contest.spare(len(contest.setup.validation.samples))
            if spare is not None and not spare:
                return
            yield contest.unit(entrant, order, spare, len(short) - place)

    for measured in contest.setup.executor.stream(units(), contest.on_batch):
        entrant, _ = contest.take_in(measured)
        if measured.records:
            contest.keep_records(entrant)
    return all(len(entrant.records) >= len(order) for entrant in _unsettled(short))


def _dropped(contest: Contest, judge: _Judge, alive: list[Entrant], seen: int, images: int) -> list[Entrant]:
    """Return those that stay; the others are settled as partial and tell why."""
    early = seen < first_of_a_set(images)
    over_a_set = (judge.certified or early) and _over_a_set(contest, alive, seen)
    if judge.certified and over_a_set:
        judge.missing = "the score is over a set, not a mean over images"
    if early and over_a_set:
        return _unsettled(alive)
    found = [(entrant, contest.combined(entrant, entrant.records[:seen])) for entrant in alive]
    alive, results = [entrant for entrant, _ in found if entrant.outcome is None], [item for _, item in found if item]
    if not alive:
        return alive
    rows = [entrant.records[:seen] for entrant in alive]
    scores = [float("-inf") if result.score is None else result.score for result in results]
    values = [result.per_image for result in results]
    leaving = _certified(judge, alive, values)
    if leaving is not None:
        verdicts = [entrant.key in leaving for entrant in alive]
    else:
        verdicts = _behind(contest, rows, scores, values, images)
    for entrant, result, out in zip(alive, results, verdicts, strict=True):
        if out:
            contest.settle(entrant, "partial", f"behind after {seen} images", images=seen, result=result)
            contest.stage.advance(images - seen)
    contest.publish()
    return [entrant for entrant, out in zip(alive, verdicts, strict=True) if not out]


def _behind(
    contest: Contest,
    rows: Sequence[Sequence[Record]],
    scores: Sequence[float],
    values: Sequence[NDArray[np.float64] | None],
    images: int,
) -> list[bool]:
    """Return who is behind, by means over the images, or by what each image does to a score over the set."""
    setup, leader, seen = contest.setup, int(np.argmax(scores)), len(rows[0])
    if all(item is not None for item in values):
        differences = paired_differences(np.array(values), leader)
        return behind(scores, differences, seen=seen, images=images, tolerance=setup.tolerance)
    differences = jackknife_differences(setup.metric, rows, scores, leader)
    # by no tolerance: who may be above the leader at all stays, because such scores differ by chance more than by it
    return behind(scores, differences, seen=seen, images=images, tolerance=0.0)


def _certified(
    judge: _Judge, alive: Sequence[Entrant], values: Sequence[NDArray[np.float64] | None]
) -> set[str] | None:
    """Return the keys of those that leave by the certificate; None where it does not decide."""
    known = {entrant.key: row for entrant, row in zip(alive, values, strict=True) if row is not None}
    if judge.certified and any(row.min() < -OUTSIDE or row.max() > 1 + OUTSIDE for row in known.values()):
        judge.missing = "the metric gives an image a score outside 0..1"
    return judge.certificate.dropped(known) if judge.certificate is not None and not judge.missing else None


def _over_a_set(contest: Contest, alive: Sequence[Entrant], seen: int) -> bool:
    """Return whether the metric scores a set, not image by image: asked of the first entrant that it accepts."""
    found = (contest.combined(entrant, entrant.records[:seen]) for entrant in alive)
    first = next((result for result in found if result is not None), None)
    return first is not None and first.per_image is None


def _complete_any(contest: Contest, order: Sequence[int]) -> None:
    """Where all finalists failed: complete one that was dropped, or one that was never begun."""
    if contest.has_full() or contest.complete_one(contest.unfinished(), order):
        return
    entered = {candidate for entrant in contest.entrants.values() for candidate in entrant.candidates}
    for candidate in contest.setup.candidates:
        if candidate not in entered and contest.complete_one([contest.enter(candidate)], order):
            return


def _finish_late(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> None:
    """After the time limit: those that saw all images are full, at least one is completed, the rest is partial."""
    for entrant in alive:
        if len(entrant.records) == len(order):
            contest.settle(entrant, "full")
    if not contest.has_full():
        contest.complete_one(alive, order)
    for entrant in alive:
        if entrant.outcome is None and entrant.records:
            contest.settle(entrant, "partial", "time limit")
    contest.state.cut_short = "time limit during the race"
