"""Limits for `range`, against sorted raw samples."""

import numpy as np
import pytest

from slimai.calibration.histogram import HistogramBuilder
from slimai.calibration.limits import Limits, percentile_limits, range_limits, union
from slimai.calibration.statistics import TensorStatistics


def stats(values, bins=2048):
    builder = HistogramBuilder(2 * bins)
    builder.add(np.asarray(values, np.float32))
    return TensorStatistics(builder.result())


def test_scale_mode_includes_zero_first_and_then_narrows():
    assert range_limits(stats([1.0, 3.0]), 50.0) == Limits(0.0, 1.5)
    assert range_limits(stats([-2.0, 3.0]), 99.0) == pytest.approx((-1.98, 2.97))
    assert range_limits(stats([-2.0, -1.0]), 100.0) == Limits(-2.0, 0.0)


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.9, 99.99])
@pytest.mark.parametrize("seed", [0, 1])
def test_percentile_mode_keeps_the_central_mass(percent, seed):
    """At most (100 - p) / 2 percent of the raw samples lie beyond each side; one bin further in, more do."""
    rng = np.random.default_rng(seed)
    values = rng.standard_t(3, 20_000).astype(np.float32)
    item = stats(values)
    low, high = percentile_limits(item.histogram, percent)
    tail, width = values.size * (100 - percent) / 200, item.histogram.width
    assert (values < low).sum() <= tail
    assert (values > high).sum() <= tail
    assert (values < low + width).sum() > tail
    assert (values >= high - width).sum() > tail


def test_percentile_of_a_rectified_tensor_keeps_zero():
    values = np.maximum(np.random.default_rng(3).normal(size=10_000), 0).astype(np.float32)
    low, high = percentile_limits(stats(values).histogram, 99.0)
    assert low == 0.0
    assert high == pytest.approx(np.quantile(values, 0.995), abs=float(2 * values.max() / 2048))


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e-30, 1e30])
@pytest.mark.parametrize("mode", ["scale", "percentile"])
def test_constants(value, mode):
    low, high = range_limits(stats([value] * 10), 99.0, mode)
    assert low <= 0.0 <= high
    assert max(-low, high) == pytest.approx(abs(value) * (0.99 if mode == "scale" else 1), rel=1e-5)


def test_union():
    assert union([Limits(-1, 2), Limits(-3, 1)]) == Limits(-3, 2)
