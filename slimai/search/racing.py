"""The racing strategy: all candidates on the same growing part of the images, the hopeless dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from slimai.search.contest import Contest, Entrant, SearchState
from slimai.search.race import behind, bootstrap_differences, image_order, paired_differences, per_image, rungs
from slimai.search.units import Unit


def racing(contest: Contest) -> SearchState:
    """Return the outcomes: finalists scored on all images, dropped ones ``partial`` on those they saw.

    The winner is the exhaustive one, or one whose full score is within the tolerance of it, at the stated
    confidence. Every decision depends on records alone, so a resumed race takes the same turns.
    """
    setup = contest.setup
    images = len(setup.validation.samples)
    order = image_order(images, setup.seed)
    for candidate in setup.candidates:
        contest.enter(candidate)
    alive = list(contest.entrants.values())
    for seen in rungs(images):
        if not _run_rung(contest, alive, order[:seen]):
            _finish_late(contest, alive, order)
            return contest.state
        if seen < images:
            alive = _dropped(contest, alive, seen, images)
    for entrant in alive:
        contest.settle(entrant, "full")
    contest.publish()
    return contest.state


def _run_rung(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> bool:
    """Bring every entrant to the images `order`; False when the deadline came first."""
    short = [entrant for entrant in alive if len(entrant.records) < len(order)]
    finished = 0

    def units() -> Iterator[Unit]:
        for entrant in short:
            if contest.late():
                return
            yield contest.unit(entrant, order)

    results = contest.setup.executor.stream(units(), contest.stage.advance)
    for entrant, measured in zip(short, results, strict=False):
        entrant.records.extend(measured.records)
        contest.keep_records(entrant)
        finished += measured.complete
    return finished == len(short)


def _dropped(contest: Contest, alive: list[Entrant], seen: int, images: int) -> list[Entrant]:
    """Return those that stay; the others are settled as partial and tell why."""
    setup = contest.setup
    if not alive:
        return alive
    rows = [entrant.records[:seen] for entrant in alive]
    results = [setup.metric.combine(records) for records in rows]
    scores = [float("-inf") if result.score is None else result.score for result in results]
    leader = int(np.argmax(scores))
    values = [per_image(setup.metric, records) for records in rows]
    if all(item is not None for item in values):
        differences = paired_differences(np.array(values), leader)
    else:
        differences = bootstrap_differences(setup.metric, rows, scores, leader, setup.seed)
    verdicts = behind(scores, differences, seen=seen, images=images, tolerance=setup.tolerance)
    for entrant, out in zip(alive, verdicts, strict=True):
        if out:
            contest.settle(entrant, "partial", f"behind after {seen} images", images=seen)
            contest.stage.advance(images - seen)
    contest.publish()
    return [entrant for entrant, out in zip(alive, verdicts, strict=True) if not out]


def _finish_late(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> None:
    """After the deadline: complete the leader when nothing is complete yet, mark the rest as partial."""
    if not any(entrant.outcome and entrant.outcome.status == "full" for entrant in contest.entrants.values()):
        leader = _leader(contest, alive)
        for measured in contest.setup.executor.stream(
            [contest.unit(leader, order, limited=False)], contest.stage.advance
        ):
            leader.records.extend(measured.records)
        contest.settle(leader, "full")
    for entrant in alive:
        if entrant.outcome is None and entrant.records:
            contest.settle(entrant, "partial", "time limit")
    contest.state.cut_short = "time limit during the race"
    contest.publish()


def _leader(contest: Contest, alive: Sequence[Entrant]) -> Entrant:
    """Return the entrant with the best score on the images it saw; the first one when none saw any."""

    def score(entrant: Entrant) -> float:
        found = contest.setup.metric.combine(entrant.records).score if entrant.records else None
        return -1.0 if found is None else found

    return max(alive, key=score)
