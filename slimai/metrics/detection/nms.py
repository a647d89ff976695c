"""Greedy non-maximum suppression, class by class, and the limits on the number of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.detection.boxes import iou
from slimai.metrics.detection.detections import Detections, best_first

CANDIDATES_A_CLASS = 1000
BOXES_AN_IMAGE = 200

__all__ = ["BOXES_AN_IMAGE", "CANDIDATES_A_CLASS", "limit_candidates", "suppress"]


def limit_candidates(found: Detections, most: int = CANDIDATES_A_CLASS) -> Detections:
    """Return the best `most` detections of each class, best first; equal scores keep their order."""
    ordered = found.take(best_first(found.scores))
    if len(ordered) <= most:
        return ordered
    return ordered.take(_rank_in_class(ordered.classes) < most)


def _rank_in_class(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each entry how many earlier entries have its class."""
    grouped = np.argsort(classes, kind="stable")
    _, starts, counts = np.unique(classes[grouped], return_index=True, return_counts=True)
    rank = np.empty(len(classes), np.int64)
    rank[grouped] = np.arange(len(classes)) - np.repeat(starts, counts)
    return rank


def suppress(found: Detections, threshold: float, most: int = BOXES_AN_IMAGE) -> Detections:
    """Return what greedy suppression leaves, best first, at most `most`.

    A box goes when a better one of its class overlaps it with IoU > `threshold` (continuous
    coordinates). All classes are walked in one falling order, so the walk ends after `most` boxes.
    """
    ordered = found.take(best_first(found.scores))
    alive = np.ones(len(ordered), np.bool_)
    members = {int(label): np.flatnonzero(ordered.classes == label) for label in np.unique(ordered.classes)}
    kept: list[int] = []
    at = 0
    while len(kept) < most:
        rest = alive[at:]
        step = int(rest.argmax()) if len(rest) else 0
        if not len(rest) or not rest[step]:
            break
        at += step
        kept.append(at)
        alive[at] = False
        _drop_overlapping(ordered, alive, members[int(ordered.classes[at])], at, threshold)
    return ordered.take(np.array(kept, np.int64))


def _drop_overlapping(
    ordered: Detections, alive: NDArray[np.bool_], members: NDArray[np.intp], at: int, threshold: float
) -> None:
    rivals = members[alive[members]]
    overlap = iou(ordered.boxes[at : at + 1], ordered.boxes[rivals])[0]
    alive[rivals[overlap > threshold]] = False
