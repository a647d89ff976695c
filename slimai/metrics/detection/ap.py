"""Average precision after the Pascal VOC devkit: matching in one picture, then the curve over all.

Definition: VOCevaldet.m and VOCap.m of the devkit. Detections are taken best first; each looks for the
object of its class that it overlaps most, and is a hit if that overlap reaches the limit and the object is
new, nothing if the object is marked difficult, and a false alarm otherwise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.detection.boxes import Boxes, devkit_iou

HIT, MISS, IGNORED = 1, 0, -1
MATCH_IOU = 0.5

Interpolation = Literal["area", "11point"]

__all__ = ["HIT", "IGNORED", "MATCH_IOU", "MISS", "Interpolation", "average_precision", "match"]


def match(boxes: Boxes, objects: Boxes, difficult: NDArray[np.bool_], limit: float = MATCH_IOU) -> NDArray[np.int8]:
    """Return HIT, MISS or IGNORED for each detection of one class in one picture.

    boxes: [n, 4] best first. objects: [m, 4] of the same class; `difficult` [m].
    """
    outcome = np.full(len(boxes), MISS, np.int8)
    if not len(boxes) or not len(objects):
        return outcome
    overlap = devkit_iou(boxes, objects)
    nearest = overlap.argmax(axis=1)
    taken = np.zeros(len(objects), np.bool_)
    for at in np.flatnonzero(overlap.max(axis=1) >= limit):
        target = nearest[at]
        if difficult[target]:
            outcome[at] = IGNORED
        elif not taken[target]:
            taken[target] = True
            outcome[at] = HIT
    return outcome


def average_precision(outcome: NDArray[np.int8], objects: int, how: Interpolation = "area") -> float:
    """Return the average precision of one class in 0..1.

    outcome: of all detections in falling order of score. objects: how many there are, difficult ones not
    counted; at least 1. how: area under the interpolated curve, or the mean of the best precisions at
    recalls of at least 0, 0.1 .. 1.
    """
    counted = outcome[outcome != IGNORED]
    hits = np.cumsum(counted == HIT)
    if not len(hits):
        return 0.0
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if how == "11point":
        # recall >= k / 10 in whole numbers, as 3 / 10 is below 3 * 0.1 in binary
        reached = hits[None, :] * 10 >= np.arange(11)[:, None] * objects
        return float(np.mean([best[row.argmax()] if row.any() else 0.0 for row in reached]))
    return float(best[counted == HIT].sum() / objects)
