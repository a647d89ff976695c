"""The difference of two runs' scores over the same images, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimai.metrics.base import Metric, Record
from slimai.metrics.scores import resampled_scores
from slimai.search.race import RESAMPLES


@dataclass(frozen=True)
class PairedDifference:
    """Second score minus the first over `images` images both have; low, high: 95 % percentile-bootstrap interval."""

    difference: float
    low: float
    high: float
    images: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def paired_difference(
    metric: Metric, first: Sequence[Record], second: Sequence[Record], seed: int = 0
) -> PairedDifference | None:
    """Return the difference over images, `first` and `second` in the same order, or None without a score.

    Images are resampled with replacement, the same for both (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13): what an image adds to both scores cancels.
    """
    count = len(first)
    if count < 2 or count != len(second):
        return None
    results = metric.combine(first), metric.combine(second)
    if results[0].score is None or results[1].score is None:
        return None
    draws = np.random.default_rng(seed).integers(0, count, (4 * RESAMPLES, count))
    values = [result.per_image for result in results]
    if values[0] is not None and values[1] is not None:
        table = (values[1] - values[0])[draws].mean(axis=1)
    else:
        draws = draws[:RESAMPLES]
        table = resampled_scores(metric, second, draws) - resampled_scores(metric, first, draws)
    if np.isnan(table).any():
        return None
    low, high = (float(item) for item in np.quantile(table, [0.025, 0.975]))
    return PairedDifference(results[1].score - results[0].score, low, high, count)
