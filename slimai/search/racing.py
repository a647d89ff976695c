"""The racing strategy: all candidates on the same growing part of the images, the hopeless dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slimai.search.loop import Contest, Entrant, SearchState
from slimai.search.race import behind, bootstrap_differences, image_order, paired_differences, per_image, rungs


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
    alive = [entrant for entrant in contest.entrants.values() if entrant.outcome is None]
    for seen in rungs(images):
        if not _run_rung(contest, alive, order[:seen], last=seen == images):
            _finish_late(contest, alive, order)
            return contest.state
        if seen < images:
            alive = _dropped(contest, alive, seen, images)
    for entrant in alive:
        contest.settle(entrant, "full")
        entrant.prepared.release()
    contest.publish()
    return contest.state


def _run_rung(contest: Contest, alive: Sequence[Entrant], order: Sequence[int], *, last: bool) -> bool:
    """Bring every entrant to the images `order`; False when the deadline came before the race was over."""
    for position, entrant in enumerate(alive):
        done = contest.run(entrant, order, deadline=contest.setup.deadline)
        contest.keep_records(entrant)
        over = last and position == len(alive) - 1
        if not done or (contest.late() and not over):
            return False
    return True


def _dropped(contest: Contest, alive: list[Entrant], seen: int, images: int) -> list[Entrant]:
    """Return those that stay; the others are settled as partial and tell why."""
    setup = contest.setup
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
            entrant.prepared.release()
            contest.stage.advance(images - seen)
    contest.publish()
    return [entrant for entrant, out in zip(alive, verdicts, strict=True) if not out]


def _finish_late(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> None:
    """After the deadline: complete the leader when nothing is complete yet, mark the rest as partial."""
    started = [entrant for entrant in alive if entrant.records]
    if contest.state.best is None and not any(entrant.outcome for entrant in contest.entrants.values()) and started:
        leader = max(started, key=lambda entrant: contest.setup.metric.combine(entrant.records).score or 0.0)
        contest.run(leader, order, deadline=None)
        contest.settle(leader, "full")
    for entrant in alive:
        if entrant.outcome is None and entrant.records:
            contest.keep_records(entrant)
            contest.settle(entrant, "partial", "time limit")
    contest.state.cut_short = "time limit during the race"
    contest.publish()
