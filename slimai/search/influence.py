"""What each image does to a score that only exists over a set (mAP, mean IU), as a race wants to know it.

An image's influence is seen by exchange: the float network's records of the whole set, but those of this image from a
candidate. The float network is known on all images before the race begins, so an influence does not depend on which
other images were seen, and the influences of a candidate nearly add up to its difference to float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.base import Metric, Record
from slimai.metrics.scores import weighted_scores

PARTS = 256  # images, or groups of images where there are more, whose influence is told apart
CHUNK = 48  # sets scored at once: bounds the memory, which grows with sets times detections
Values = NDArray[np.float64]


def image_parts(images: int, seed: int) -> list[tuple[int, ...]]:
    """Return the images in groups of a seeded random order, one a group up to `PARTS` images."""
    order = np.random.default_rng(seed).permutation(images)
    return [tuple(int(index) for index in part) for part in np.array_split(order, min(images, PARTS))]


class Influence:
    """Scores of sets whose records come from several networks. floats: of the float network, by image."""

    def __init__(self, metric: Metric, floats: Sequence[Record], parts: Sequence[Sequence[int]]) -> None:
        self._metric, self._floats, self._parts = metric, list(floats), parts
        images = len(floats)
        self._inside = np.zeros((len(parts), images), np.int64)
        for row, part in zip(self._inside, parts, strict=True):
            row[list(part)] = 1
        self._score = float(self._scores(self._floats, np.ones((1, images), np.int64))[0])

    def unevenness(self) -> Values:
        """Return [parts] how far what float's score loses without a part is from what it loses without the median one.

        Most images are easy and alike: those that are not, and those that weigh most, are where candidates differ.
        """
        lost = self._score - self._scores(self._floats, 1 - self._inside)
        return _known(np.abs(lost - np.median(_known(lost))))

    def exchanged(self, records: Mapping[int, Record], parts: Sequence[int]) -> Values:
        """Return [len(parts)] the float score with one part taken from `records`, minus the float score."""
        rows = self._inside[list(parts)]
        own = sorted(records)
        scores = self._scores([*self._floats, *(records[image] for image in own)], np.hstack([1 - rows, rows[:, own]]))
        return _known(scores - self._score)

    def completed(self, records: Mapping[int, Record], others: Sequence[Mapping[int, Record]]) -> float:
        """Return the score of `records` with the images that lack taken from another network: the mean over `others`.

        NaN where a set has no score.
        """
        own, images = sorted(records), range(len(self._floats))
        lacking = [int(image not in records) for image in images]
        counts = np.array([lacking + [1] * len(own)], np.int64)
        mine = [records[image] for image in own]
        return float(np.mean([self._scores([*(row[at] for at in images), *mine], counts)[0] for row in others]))

    def _scores(self, records: Sequence[Record], counts: NDArray[np.int64]) -> Values:
        chunks = range(0, len(counts), CHUNK)
        found = [weighted_scores(self._metric, records, counts[start : start + CHUNK]) for start in chunks]
        return np.concatenate(found) if found else np.zeros(0)


def _known(values: Values) -> Values:
    """Return the values with 0 where a set has no score."""
    return np.nan_to_num(values, nan=0.0)
