"""Any split, order and grouping of the images gives the same statistics, bit for bit, and loses no value."""

from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slimai.calibration import _kernels, _reference
from slimai.calibration.histogram import HistogramBuilder
from slimai.calibration.statistics import Statistics, TensorCollector

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
WIDE = st.lists(FINITE, min_size=1, max_size=40)
NEAR = st.lists(st.floats(-4, 9, width=32), min_size=1, max_size=40)
IMAGES = st.lists(st.one_of(WIDE, NEAR), min_size=1, max_size=6)


def collected(images, bins=16, kernel=None):
    collector = TensorCollector(bins, per_channel=True, kernel=kernel)
    for image in images:
        collector.add(np.array(image, np.float32).reshape(1, 1, -1))
    return collector.result()


def same_bits(a, b):
    first, second = a.histogram, b.histogram
    assert (first.minimum, first.maximum, first.exponent, first.first) == (
        second.minimum,
        second.maximum,
        second.exponent,
        second.first,
    )
    np.testing.assert_array_equal(first.counts, second.counts)
    assert a.channels.images == b.channels.images
    np.testing.assert_array_equal(a.channels.limbs, b.channels.limbs)
    assert a.extremes.tobytes() == b.extremes.tobytes()


@settings(max_examples=150, deadline=None)
@given(IMAGES, st.randoms(use_true_random=False), st.integers(0, 5))
@example([[-2251800082120704.0, -1.52e16], [-0.0]], Random(0), 1)
def test_order_split_and_grouping_do_not_matter(images, random, cut):
    whole = collected(images)
    shuffled = images[:]
    random.shuffle(shuffled)
    same_bits(whole, collected(shuffled))
    left, right = shuffled[:cut], shuffled[cut:]
    if left and right:
        same_bits(whole, collected(left).merged(collected(right)))
        same_bits(whole, collected(right).merged(collected(left)))
    parts = [collected([image]) for image in shuffled]
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        forward = forward.merged(part)
    for part in reversed(parts[:-1]):
        backward = part.merged(backward)
    same_bits(whole, forward)
    same_bits(whole, backward)


@settings(max_examples=150, deadline=None)
@given(IMAGES)
def test_every_value_lies_in_its_bin(images):
    """Oracle: Python integers; floor of the exact ratio value / width."""
    histogram = collected(images).histogram
    values = [float(np.float32(value)) for image in images for value in image]
    assert histogram.total == len(values)
    assert (histogram.minimum, histogram.maximum) == (min(values), max(values))
    assert histogram.counts.size <= histogram.capacity
    expected = np.zeros(histogram.counts.size, int)
    for value in values:
        top, bottom = value.as_integer_ratio()
        shifted = (
            (top << -histogram.exponent) // bottom if histogram.exponent < 0 else top // (bottom << histogram.exponent)
        )
        expected[shifted - histogram.first] += 1
    np.testing.assert_array_equal(histogram.counts, expected)


@settings(max_examples=100, deadline=None)
@given(IMAGES, st.integers(1, 3))
def test_mean_extremes_equal_exact_fractions(images, batch):
    """Oracle: rational arithmetic over each image's own extremes, rounded once for the sum and once for the mean."""
    from fractions import Fraction

    width = max(map(len, images))
    rows = np.array([[*image, *[image[0]] * (width - len(image))] for image in images], np.float32)
    collector = TensorCollector(16)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        collector.add(part, len(part))
    found = collector.result()
    assert len(found.extremes) == len(images)
    for side, mean in zip((min, max), found.mean_extremes, strict=True):
        total = sum(Fraction(float(side(row))) for row in rows.tolist())
        assert mean == float(total) / len(images)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=200).filter(lambda v: max(v) > 2 * min(v)))
def test_at_least_half_of_the_bins_are_in_use(values):
    builder = HistogramBuilder(64)
    builder.add(np.array(values, np.float32))
    assert 32 <= builder.result().counts.size <= 64 or max(values) < 2.0**-110


@settings(max_examples=60, deadline=None)
@given(IMAGES)
def test_compiled_kernel_and_numpy_twin_agree(images):
    same_bits(collected(images), collected(images, kernel=_reference.count_blocks))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(FINITE, min_size=6, max_size=6), min_size=1, max_size=5))
def test_channel_means_equal_exact_fractions(images):
    """Oracle: rational arithmetic; tolerance one part in 2^50 of the largest mean, and 2^-150."""
    from fractions import Fraction

    collector = TensorCollector(16, per_channel=True)
    for image in images:
        collector.add(np.array(image, np.float32).reshape(1, 2, 3))
    found = collector.result().channels.means
    for channel in range(2):
        rows = [[Fraction(float(np.float32(v))) for v in image[3 * channel : 3 * channel + 3]] for image in images]
        exact = sum(sum(row) / 3 for row in rows) / len(rows)
        largest = max(max(abs(v) for v in row) for row in rows)
        assert abs(Fraction(float(found[channel])) - exact) <= largest * Fraction(1, 2**50) + Fraction(1, 2**150)


@pytest.mark.parametrize("shape", [(3, 2, 1), (1, 4, 7), (2, 3, 8), (2, 1, 1003), (1, 2, 0)])
def test_compiled_channel_means_and_numpy_twin_agree(shape):
    values = np.random.default_rng(1).normal(scale=1e3, size=shape).astype(np.float32)
    mine, twin = np.zeros((9, shape[1]), np.int64), np.zeros((9, shape[1]), np.int64)
    _kernels.add_channel_means(values, mine)
    _reference.add_channel_means(values, twin)
    assert values.size == 0 or mine.any()
    np.testing.assert_array_equal(mine, twin)


@settings(max_examples=40, deadline=None)
@given(IMAGES)
def test_save_and_load_give_the_same_bits(images):
    import tempfile
    from pathlib import Path

    stats = Statistics({"a": collected(images), "b/c": collected(images[:1])}, len(images), 16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.npz"
        stats.save(path)
        again = Statistics.load(path)
    assert list(again.tensors) == ["a", "b/c"]
    assert (again.images, again.bins) == (stats.images, 16)
    for name in stats.tensors:
        same_bits(stats[name], again[name])


def test_zeros_before_tiny_values():
    whole = collected([[0.0], [1.1754943508222875e-38]])
    same_bits(whole, collected([[1.1754943508222875e-38]]).merged(collected([[0.0]])))


EDGE = st.integers(0, 40).map(lambda place: place - 20)


@pytest.mark.parametrize("kernel", [None, _reference.count_blocks])
@settings(max_examples=200, deadline=None)
@given(st.lists(EDGE, min_size=1, max_size=4), st.lists(EDGE, min_size=1, max_size=4), st.integers(-100, 104))
def test_values_on_the_edges_of_bins_have_a_bin(kernel, before, after, exponent):
    """Oracles: how many values there are, and the other order. Zero is such an edge too."""
    one, other = (np.ldexp(np.array(part, np.float32), exponent) for part in (before, after))
    one, other = (np.where(part == 0, np.float32(-0.0), part) for part in (one, other))
    found = collected([one, other], kernel=kernel)
    assert found.histogram.total == one.size + other.size
    same_bits(found, collected([other, one], kernel=kernel))


@pytest.mark.parametrize("kernel", [None, _reference.count_blocks])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_zero_on_the_open_edge_is_counted(kernel, zero):
    """The table of the first image ends at zero: -0.0, which sorts below 0.0, was written behind it."""
    images = [[-2251800082120704.0, -1.52e16], [zero]]
    assert collected(images, kernel=kernel).histogram.total == 3
    same_bits(collected(images, kernel=kernel), collected(images[::-1]))


@pytest.mark.parametrize("kernel", [None, _reference.count_blocks])
@pytest.mark.parametrize("below", range(1, 40))
def test_the_largest_float_on_the_open_edge_is_counted(kernel, below):
    largest, spacing = float(np.finfo(np.float32).max), 2.0**104
    images = [[largest - below * spacing, largest - spacing], [largest], [-largest]]
    assert collected(images[:2], kernel=kernel).histogram.total == 3
    same_bits(collected(images, kernel=kernel), collected(images[::-1]))


def test_large_arrays_count_the_same_as_their_parts():
    """Long enough for the four-table path (oracle: the NumPy twin), with a value that widens the table half way."""
    rng = np.random.default_rng(0)
    values = np.maximum(rng.normal(size=50_000), 0).astype(np.float32)
    values[30_000] = -77.0
    whole = collected([values])
    same_bits(whole, collected([values], kernel=_reference.count_blocks))
    parts = HistogramBuilder(32)
    for part in np.split(values, 500):
        parts.add(part)
    np.testing.assert_array_equal(parts.result().counts, whole.histogram.counts)
