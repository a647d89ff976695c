"""The racing strategy: all candidates on the same growing part of the images, the hopeless dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from slimai.search.contest import Contest, Entrant, SearchState
from slimai.search.race import (
    SET_IMAGES,
    behind,
    bootstrap_differences,
    image_order,
    paired_differences,
    rungs,
)
from slimai.search.units import Unit


def racing(contest: Contest) -> SearchState:
    """Return the outcomes: finalists scored on all images, dropped ones ``partial`` on those they saw.

    The winner is the exhaustive one, or one whose full score is within the tolerance of it, at the stated
    confidence. Every decision depends on records alone, so a resumed race takes the same turns.
    """
    setup = contest.setup
    images = len(setup.validation.samples)
    order = image_order(images, setup.seed)
    alive, in_time = _entered(contest)
    for seen in rungs(images) if in_time else ():
        in_time = _run_rung(contest, alive, order[:seen])
        alive = _unsettled(alive)
        if not in_time:
            break
        if seen < images:
            alive = _dropped(contest, alive, seen, images)
    if not in_time:
        _finish_late(contest, alive, order)
    for entrant in alive if in_time else ():
        contest.settle(entrant, "full")
    _complete_any(contest, order)
    contest.publish()
    return contest.state


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
        for entrant in short:
            spare = contest.spare(len(contest.setup.validation.samples))
            if spare is not None and not spare:
                return
            yield contest.unit(entrant, order, spare)

    for measured in contest.setup.executor.stream(units(), contest.on_batch):
        entrant, _ = contest.take_in(measured)
        if measured.records:
            contest.keep_records(entrant)
    return all(len(entrant.records) >= len(order) for entrant in _unsettled(short))


def _dropped(contest: Contest, alive: list[Entrant], seen: int, images: int) -> list[Entrant]:
    """Return those that stay; the others are settled as partial and tell why."""
    setup = contest.setup
    if seen < SET_IMAGES and _over_a_set(contest, alive, seen):
        return _unsettled(alive)
    found = [(entrant, contest.combined(entrant, entrant.records[:seen])) for entrant in alive]
    alive, results = [entrant for entrant, _ in found if entrant.outcome is None], [item for _, item in found if item]
    if not alive:
        return alive
    rows = [entrant.records[:seen] for entrant in alive]
    scores = [float("-inf") if result.score is None else result.score for result in results]
    leader = int(np.argmax(scores))
    values = [result.per_image for result in results]
    if all(item is not None for item in values):
        differences = paired_differences(np.array(values), leader)
    else:
        differences = bootstrap_differences(setup.metric, rows, scores, leader, setup.seed)
    verdicts = behind(scores, differences, seen=seen, images=images, tolerance=setup.tolerance)
    for entrant, result, out in zip(alive, results, verdicts, strict=True):
        if out:
            contest.settle(entrant, "partial", f"behind after {seen} images", images=seen, result=result)
            contest.stage.advance(images - seen)
    contest.publish()
    return [entrant for entrant, out in zip(alive, verdicts, strict=True) if not out]


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
