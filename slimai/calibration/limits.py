"""Limits of a tensor, [low, high] with low <= 0 <= high, from its statistics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from slimai.calibration.histogram import Histogram
from slimai.calibration.statistics import TensorStatistics

RangeMode = Literal["scale", "percentile"]


class Limits(NamedTuple):
    """The real range that a tensor's integers have to cover, both ends included."""

    low: float
    high: float

    def with_zero(self) -> Limits:
        """Return the limits widened to hold 0.0."""
        return Limits(min(self.low, 0.0), max(self.high, 0.0))

    def times(self, factor: float) -> Limits:
        """Return both ends times `factor`."""
        return Limits(self.low * factor, self.high * factor)

    @property
    def magnitude(self) -> float:
        """Larger of the two distances from zero."""
        return max(abs(self.low), abs(self.high))


def union(items: Iterable[Limits]) -> Limits:
    """Return the smallest limits that hold all `items` (at least one)."""
    lows, highs = zip(*items, strict=True)
    return Limits(min(lows), max(highs))


def full_limits(stats: TensorStatistics) -> Limits:
    """Return calibrated minimum and maximum, with zero."""
    return Limits(stats.minimum, stats.maximum).with_zero()


def scaled_limits(stats: TensorStatistics, percent: float) -> Limits:
    """Return minimum and maximum, with zero, times percent / 100."""
    return full_limits(stats).times(percent / 100.0)


def percentile_limits(histogram: Histogram, percent: float) -> Limits:
    """Return limits that hold the central `percent` of the values, with zero.

    At most (100 - percent) / 2 percent of the values lie outside on either side; the ends are bin edges,
    so the limits are wide by less than one bin, and never beyond minimum and maximum.
    """
    cumulative = np.cumsum(histogram.counts)
    total = int(cumulative[-1])
    tail = total * (100.0 - percent) / 200.0
    below = int(np.searchsorted(cumulative, tail, side="right"))  # first bin that does not fit into the tail
    from_top = total - np.concatenate(([0], cumulative[:-1]))
    above = int(np.flatnonzero(from_top > tail)[-1])
    edges = histogram.edges()
    low = max(float(edges[below]), histogram.minimum)
    high = min(float(edges[above + 1]), histogram.maximum)
    return Limits(low, high).with_zero()


def mean_limits(stats: TensorStatistics) -> Limits:
    """Return the mean over the calibration images of each one's own minimum and maximum, with zero."""
    return Limits(*stats.mean_extremes).with_zero()


def range_limits(stats: TensorStatistics, percent: float, mode: RangeMode = "scale") -> Limits:
    """Return the limits of a calibrated tensor for one value of `range`; zero is included, then the range narrowed."""
    if percent >= 100.0:
        return full_limits(stats)
    return scaled_limits(stats, percent) if mode == "scale" else percentile_limits(stats.histogram, percent)
