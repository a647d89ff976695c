"""The compiled scans against their NumPy twins, and against raw samples."""

import numpy as np
import pytest

from slimai.calibration import _kernels_search as compiled
from slimai.calibration import _reference_search as plain

GRIDS = [(-128, 127), (0, 255), (-40, 215), (-128, 127), (-7, 8)]


def histogram(seed, first):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, 700) * (rng.random(700) < 0.7)
    return counts.astype(np.int64), first


@pytest.mark.parametrize("first", [-350, 0, -700, 40, -10])
@pytest.mark.parametrize("seed", [0, 1])
def test_squared_error_equals_the_twin(seed, first):
    """Tolerance 1e-9 relative: both are float64 sums over the same pieces."""
    counts, first = histogram(seed, first)
    sums = compiled.moments(counts, first)
    np.testing.assert_allclose(sums, plain.moments(counts, first), rtol=1e-13, atol=0)
    scales = np.array([0.3, 1.0, 2.7, 6.1, 100.0])
    lows, highs = (np.array(column, np.int64) for column in zip(*GRIDS, strict=True))
    found, expected = np.empty(5), np.empty(5)
    compiled.scan_mse(sums, first, scales, lows, highs, found)
    plain.scan_mse(sums, first, scales, lows, highs, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("first", [-350, 0, -700, 40, -10])
@pytest.mark.parametrize("seed", [0, 1])
def test_divergence_equals_the_twin(seed, first):
    """Tolerance 1e-9 absolute: the compiled one takes differences of running sums."""
    counts, first = histogram(seed, first)
    sums = compiled.entropies(counts)
    scales = np.array([0.9, 1.0, 2.7, 6.1, 100.0])
    lows, highs = (np.array(column, np.int64) for column in zip(*GRIDS, strict=True))
    found, expected = np.empty(5), np.empty(5)
    compiled.scan_kl(sums, first, scales, lows, highs, found)
    plain.scan_kl(sums, first, scales, lows, highs, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert found[0] == np.inf


def test_grids_finer_than_bins_follow_the_closed_form():
    """Oracle: raw uniform samples rounded to a 16-bit grid and clipped; 1 percent (sampling)."""
    rng = np.random.default_rng(5)
    values = rng.uniform(-1, 1, 200_000)
    counts, edges = np.histogram(values, 512, (-1, 1))
    unit = edges[1] - edges[0]
    sums = compiled.moments(counts.astype(np.int64), -256)
    for limit in (1.0, 0.7):
        scale = limit / 32767
        found = np.empty(1)
        grid = (np.array([scale / unit]), np.array([-32768]), np.array([32767]))
        compiled.scan_mse(sums, -256, *grid, found)
        exact = np.square(np.clip(np.rint(values / scale), -32768, 32767) * scale - values).sum()
        assert found[0] * unit**2 == pytest.approx(exact, rel=0.01)
