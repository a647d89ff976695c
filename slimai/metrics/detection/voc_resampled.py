"""VOC mean average precision of many resampled sets of pictures at once.

A picture that is drawn k times counts k times: with the detections of a class sorted once, a resampled set is a row of
weights. That is what `average_precision` computes on the repeated pictures, but for the order of equal scores within
one picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.base import Record
from slimai.metrics.detection.ap import HIT, IGNORED, Interpolation
from slimai.metrics.detection.detections import best_first

Counts = NDArray[np.int64]


def resampled_map(records: Sequence[Record], counts: Counts, how: Interpolation) -> NDArray[np.float64]:
    """Return [R] the mean AP over the classes that have an object, NaN where none has.

    records: `VocAP.measure` of the pictures, in the order of the list. counts: [R, pictures] how often each is drawn.
    """
    objects = counts @ np.array([record["objects"] for record in records])  # [R, classes]
    pictures = np.repeat(np.arange(len(records)), [len(record["scores"]) for record in records])
    scores, classes, outcome = (
        np.concatenate([record[key] for record in records]) for key in ("scores", "classes", "outcome")
    )
    best = best_first(scores)
    pictures, classes, outcome = pictures[best], classes[best], outcome[best]
    sums = np.zeros(len(counts))
    for label in np.flatnonzero(objects.any(axis=0)):
        mine = (classes == label) & (outcome != IGNORED)
        sums += _weighted_precision(outcome[mine] == HIT, counts[:, pictures[mine]], objects[:, label], how)
    with np.errstate(invalid="ignore"):  # of a set without objects
        found: NDArray[np.float64] = sums / np.count_nonzero(objects, axis=1)
    return found


def _weighted_precision(
    hit: NDArray[np.bool_], weights: Counts, objects: Counts, how: Interpolation
) -> NDArray[np.float64]:
    """Return [R] the average precision of one class, 0 where it has no object; hit: [D], weights: [R, D]."""
    if not hit.size:
        return np.zeros(len(weights))
    hits = np.cumsum(weights * hit, axis=1)
    precision = hits / np.maximum(np.cumsum(weights, axis=1), 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    if how == "11point":
        return np.where(objects > 0, _eleven_points(hits, best, objects), 0.0)
    return np.where(objects > 0, (best * weights)[:, hit].sum(axis=1) / np.maximum(objects, 1), 0.0)


def _eleven_points(hits: Counts, best: NDArray[np.float64], objects: Counts) -> NDArray[np.float64]:
    total = np.zeros(len(hits))
    for point in range(11):
        reached = hits * 10 >= point * objects[:, None]
        first = reached.argmax(axis=1)
        total += np.where(reached.any(axis=1), best[np.arange(len(hits)), first], 0.0)
    return total / 11
