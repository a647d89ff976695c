"""Single-shot limits: squared error against brute force over the raw samples; divergence against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.calibration import _reference_search as plain
from slimai.calibration.histogram import HistogramBuilder
from slimai.calibration.solve import Grid, best_limits, solve, solve_limits

N = 60_000
S8, U8, ASYMMETRIC, S16 = Grid(-128, 127), Grid(0, 255), Grid(0, 255, True), Grid(-32768, 32767)


def samples(name):
    rng = np.random.default_rng(11)
    made = {
        "gaussian": lambda: rng.normal(size=N),
        "laplace": lambda: rng.laplace(size=N),
        "half-normal": lambda: np.abs(rng.normal(size=N)),
        "rectified": lambda: np.maximum(rng.normal(size=N), 0),
        "heavy tail": lambda: rng.standard_t(3, N),
        "bimodal": lambda: np.concatenate([rng.normal(-3, 0.3, N // 2), rng.normal(4, 0.5, N // 2)]),
        "uniform": lambda: rng.uniform(-1, 1, N),
        "spiky": lambda: np.concatenate([rng.normal(size=N - 20), np.full(20, 100.0)]),
        "negative": lambda: -np.abs(rng.normal(size=N)),
        "far from zero": lambda: rng.normal(5, 1, N),
    }
    return made[name]().astype(np.float32)


NAMES = ["gaussian", "laplace", "half-normal", "rectified", "heavy tail", "bimodal", "uniform", "spiky", "negative"]
NAMES.append("far from zero")


def histogram(values, bins=10240):
    builder = HistogramBuilder(2 * bins)
    builder.add(np.asarray(values, np.float32))
    return builder.result()


def error(values, low, high, grid):
    """Return the mean squared error of the raw samples on the grid that these limits give."""
    if grid.free_zero:
        scale = (high - low) / 255
        bottom = -round(-low / scale)
        integers = np.clip(np.rint(values / scale), bottom, bottom + 255)
    else:
        scale = max(-low, high) / grid.high
        integers = np.clip(np.rint(values / scale), grid.low, grid.high)
    return float(np.square(values - integers * scale).mean())


def brute_force(values, grid):
    """Return the least error over a dense mesh of limits, from the whole range down to 1/64 of it."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    if not grid.free_zero:
        return min(error(values, low * f, high * f, grid) for f in np.geomspace(1, 1 / 64, 400))
    lows = low * np.geomspace(1, 1 / 64, 36) if low < 0 else [0.0]
    highs = high * np.geomspace(1, 1 / 64, 36) if high > 0 else [0.0]
    part = values[::6]
    a, b = min(((a, b) for a in lows for b in highs), key=lambda pair: error(part, *pair, grid))
    near = np.geomspace(0.95, 1.05, 9)
    return min(error(values, max(a * f, low), min(b * g, high), grid) for f in near for g in near)


@pytest.mark.parametrize("grid", [S8, ASYMMETRIC, S16], ids=["s8", "asymmetric", "s16"])
@pytest.mark.parametrize("name", NAMES)
def test_squared_error_is_within_one_percent_of_brute_force(name, grid):
    values = samples(name).astype(np.float64)
    found = best_limits(histogram(values), grid, "ImprovedMSE")
    assert found.low <= 0.0 <= found.high
    assert error(values, *found, grid) <= 1.01 * brute_force(values, grid)


@pytest.mark.parametrize("name", ["half-normal", "rectified"])
def test_unsigned_grid(name):
    values = samples(name).astype(np.float64)
    found = best_limits(histogram(values), U8, "ImprovedMSE")
    assert error(values, *found, U8) <= 1.01 * brute_force(values, U8)


@pytest.mark.parametrize("grid", [S8, ASYMMETRIC], ids=["s8", "asymmetric"])
@pytest.mark.parametrize("name", ["gaussian", "rectified", "laplace", "uniform", "far from zero"])
def test_divergence_is_within_one_percent_of_brute_force(name, grid):
    """Oracle: the divergence bin by bin, over 60 limits (a side); plus 1e-5 nats for ties of flat minima."""
    item = histogram(samples(name), bins=2048)
    sums = plain.entropies(item.counts)
    low, high = min(item.minimum, 0.0), max(item.maximum, 0.0)

    def cost(a, b):
        scale = ((b - a) / 255 if grid.free_zero else max(-a, b) / 127) / item.width
        bottom = -round(-a / item.width / scale) if grid.free_zero else -128
        out = np.empty(1)
        plain.scan_kl(sums, item.first, np.array([scale]), [bottom], [bottom + 255], out)
        return out[0]

    found = best_limits(item, grid, "ImprovedKL")
    factors = np.geomspace(1, 1 / 16, 14 if grid.free_zero and low < 0 else 60)
    pairs = [(low * f, high * g) for f in factors for g in (factors if grid.free_zero and low < 0 else [f])]
    assert cost(*found) <= 1.01 * min(cost(*pair) for pair in pairs) + 1e-5


def test_divergence_clips_an_outlier():
    values = np.concatenate([np.random.default_rng(0).normal(size=N), [60.0]])
    found = best_limits(histogram(values), S8, "ImprovedKL")
    assert 3.0 < found.high < 12.0


@pytest.mark.parametrize("method", ["ImprovedMSE", "ImprovedKL"])
@pytest.mark.parametrize("grid", [S8, U8, ASYMMETRIC, S16], ids=["s8", "u8", "asymmetric", "s16"])
@pytest.mark.parametrize("value", [0.0, 3.0, 1e-30, 1e30])
def test_constants_keep_their_value(value, grid, method):
    """A constant is reached to one step of its grid."""
    found = best_limits(histogram([value] * 100), grid, method)
    assert found.low == 0.0
    assert found.high == pytest.approx(value, rel=1 / 100)


def spread_channels(seed, spread):
    """Return a rectified tensor whose 64 channels have spreads of e^(spread N(0, 1)), most of it near zero."""
    rng = np.random.default_rng(seed)
    scales = np.exp(spread * rng.normal(size=(64, 1)))
    return np.maximum(rng.normal(size=(64, 400)) * scales, 0.0).astype(np.float32)


@pytest.mark.parametrize("grid", [S8, U8, ASYMMETRIC], ids=["s8", "u8", "asymmetric"])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 3))
def test_divergence_never_ruins_a_tensor(grid, seed, spread):
    """Oracle: the values themselves, quantized; 0.2 dB for the histogram's bins beside the 3 dB that are allowed."""
    values = spread_channels(seed, spread).astype(np.float64).reshape(-1)
    item = histogram(values)
    (found,) = solve({"x": item}, {"x": grid}, "ImprovedKL").values()
    squared = best_limits(item, grid, "ImprovedMSE")
    assert error(values, *found.limits, grid) <= 10**0.32 * error(values, *squared, grid)
    if found.replaced is not None:
        assert found.limits == squared
        assert error(values, *found.replaced, grid) > 10**0.28 * error(values, *squared, grid)


def test_a_tensor_that_divergence_would_ruin_takes_the_other_limits():
    """Channels of unlike spread: a few hold all the large values, which the divergence gives up."""
    item = histogram(spread_channels(3, 2.0).reshape(-1))
    (found,) = solve({"x": item}, {"x": U8}, "ImprovedKL").values()
    assert found.replaced == best_limits(item, U8, "ImprovedKL")
    assert found.limits == best_limits(item, U8, "ImprovedMSE")


def test_all_tensors_at_once_and_threads_do_not_matter():
    histograms = {name: histogram(samples(name), 2048) for name in NAMES[:4]}
    grids = dict(zip(NAMES[:4], (S8, S8, ASYMMETRIC, U8), strict=True))
    alone = solve_limits(histograms, grids, "ImprovedMSE")
    assert solve_limits(histograms, grids, "ImprovedMSE", threads=3) == alone
    assert alone == {name: best_limits(histograms[name], grid, "ImprovedMSE") for name, grid in grids.items()}
