"""Greedy non-maximum suppression, class by class, and the limits on the number of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.detection.boxes import Boxes
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
    # of each class, the boxes that are neither kept nor suppressed yet, best first
    waiting = {int(label): np.flatnonzero(ordered.classes == label) for label in np.unique(ordered.classes)}
    kept: list[int] = []
    at = 0
    while len(kept) < most and alive[at:].any():
        at += int(alive[at:].argmax())
        kept.append(at)
        alive[at] = False
        rivals = waiting[int(ordered.classes[at])][1:]
        gone = _overlaps(ordered.boxes[at], ordered.boxes[rivals], threshold)
        alive[rivals[gone]] = False
        waiting[int(ordered.classes[at])] = rivals[~gone]
    return ordered.take(np.array(kept, np.int64))


def _overlaps(box: Boxes, rivals: Boxes, threshold: float) -> NDArray[np.bool_]:
    """Return which of `rivals` [n, 4] have IoU > threshold with `box` [4]; see `boxes.iou`."""
    wide = np.maximum(np.minimum(rivals[:, 2], box[2]) - np.maximum(rivals[:, 0], box[0]), 0.0)
    high = np.maximum(np.minimum(rivals[:, 3], box[3]) - np.maximum(rivals[:, 1], box[1]), 0.0)
    shared = wide * high
    own = max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
    areas = np.maximum(rivals[:, 2] - rivals[:, 0], 0.0) * np.maximum(rivals[:, 3] - rivals[:, 1], 0.0)
    union = own + areas - shared
    # a product instead of a quotient: an empty union overlaps nothing
    over: NDArray[np.bool_] = (shared > threshold * union) & (union > 0)
    return over
