"""Single-shot calibration: for each tensor, the clip limits that cost least by one measure.

ImprovedMSE minimizes the expected squared error, ImprovedKL the divergence between the histogram and its quantized
version, both for the grid that the tensor will really have: integer type, zero point, symmetric or not. A divergence
does not see how far a value is moved: where the limits of ImprovedKL cost more than LOSS dB of the tensor's
signal-to-noise ratio, those of ImprovedMSE take their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.calibration.histogram import Histogram
from slimai.calibration.limits import Limits
from slimai.floating_point import guarded

Method = Literal["ImprovedMSE", "ImprovedKL"]
Floats = NDArray[np.float64]

THRESHOLDS = 2048  # of a search over one limit: steps of 0.4 percent
STRIDE, BASINS = 8, 6  # every 8th is looked at first, then all around the six best of those
SPAN = 4096.0  # the smallest threshold is the largest magnitude divided by this
LOSS = 3.0  # dB of a histogram's squared-error ratio that ImprovedKL may cost beside ImprovedMSE
COARSE, FINE = 24, 9  # thresholds a side of the first and of each later round of a search over two limits


@dataclass(frozen=True)
class Grid:
    """The integers of a tensor: `low`..`high`; `free_zero` when their zero point is chosen with the limits."""

    low: int
    high: int
    free_zero: bool = False

    @property
    def steps(self) -> int:
        """Number of steps from the lowest to the highest integer."""
        return self.high - self.low


@dataclass(frozen=True)
class Solved:
    """Limits of a tensor; replaced: those that ImprovedKL chose, where they would have ruined it."""

    limits: Limits
    replaced: Limits | None = None


def solve_limits(
    histograms: Mapping[str, Histogram], grids: Mapping[str, Grid], method: Method, *, threads: int = 1
) -> dict[str, Limits]:
    """Return the limits that `solve` finds, without what they replaced."""
    return {name: item.limits for name, item in solve(histograms, grids, method, threads=threads).items()}


def solve(
    histograms: Mapping[str, Histogram], grids: Mapping[str, Grid], method: Method, *, threads: int = 1
) -> dict[str, Solved]:
    """Return the best limits of every tensor in `grids`; they hold 0.0 and reach no further than the data.

    Tensors are independent, so the result does not depend on `threads`.
    """
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        found = pool.map(lambda name: _guarded_limits(name, histograms[name], grids[name], method), grids)
        return dict(zip(grids, found, strict=True))


def _guarded_limits(name: str, histogram: Histogram, grid: Grid, method: Method) -> Solved:
    with guarded(name, f"its limits were sought by {method}"):
        found = best_limits(histogram, grid, method)
        if method == "ImprovedMSE":
            return Solved(found)
        squared = best_limits(histogram, grid, "ImprovedMSE")
        costs = [squared_error(histogram, grid, item) for item in (squared, found)]
        return Solved(squared, found) if costs[1] > costs[0] * 10 ** (LOSS / 10) else Solved(found)


def squared_error(histogram: Histogram, grid: Grid, limits: Limits) -> float:
    """Return the squared error of quantizing the values of `histogram` to `limits`, in bin widths squared, summed.

    Values lie evenly in their bins, as for ImprovedMSE.
    """
    if limits.magnitude == 0.0:
        return 0.0
    if grid.free_zero:
        scale = (limits.high - limits.low) / grid.steps
        low = -int(np.clip(np.rint(-limits.low / scale), 0, grid.steps))
    else:
        scale, low = limits.magnitude / grid.high, grid.low
    ends = np.array([low]), np.array([low + grid.steps])
    return float(_scanner(histogram, "ImprovedMSE")(np.array([scale / histogram.width]), *ends)[0])


def best_limits(histogram: Histogram, grid: Grid, method: Method) -> Limits:
    """Return the limits, with zero, that minimize `method` for one tensor."""
    whole = Limits(histogram.minimum, histogram.maximum).with_zero()
    if whole.magnitude == 0.0 or (method == "ImprovedKL" and grid.steps > 255):
        return whole  # KL sees no difference between grids that are finer than its bins
    scan = _scanner(histogram, method)
    unit = histogram.width
    if grid.free_zero and whole.low < 0.0 < whole.high:
        return _two_limits(scan, grid, whole, unit)
    if grid.free_zero:
        sign = 1.0 if whole.high > 0.0 else -1.0
        return _one_limit(scan, Grid(0, grid.steps) if sign > 0 else Grid(-grid.steps, 0), whole, unit, grid.steps)
    return _one_limit(scan, grid, whole, unit, grid.high)


Scan = Callable[[Floats, Any, Any], Floats]


def _scanner(histogram: Histogram, method: Method) -> Scan:
    """Return the function grids (scale in bins, low, high) -> cost."""
    from slimai.calibration import _kernels_search as kernels  # noqa: PLC0415 - spares numba

    counts, first = histogram.counts, histogram.first
    squared = method == "ImprovedMSE"
    sums = kernels.moments(counts, first) if squared else kernels.entropies(counts)
    run = kernels.scan_mse if squared else kernels.scan_kl

    def scan(scales: Floats, lows: Any, highs: Any) -> Floats:
        costs = np.empty(scales.size)
        run(sums, first, scales, lows, highs, costs)
        return costs

    return scan


def _one_limit(scan: Scan, grid: Grid, whole: Limits, unit: float, divisor: int) -> Limits:
    """Return the best of THRESHOLDS limits in geometric steps; limit = scale * divisor."""
    thresholds = whole.magnitude * np.geomspace(1.0, 1.0 / SPAN, THRESHOLDS)

    def costs(chosen: Any) -> Floats:
        ends = np.ones(len(chosen), np.int64)
        return scan(thresholds[chosen] / divisor / unit, ends * grid.low, ends * grid.high)

    coarse = np.arange(0, THRESHOLDS, STRIDE)
    centres = coarse[np.argsort(costs(coarse), kind="stable")[:BASINS]]
    around = (centres[:, None] + np.arange(1 - STRIDE, STRIDE)).reshape(-1)
    near = np.unique(np.clip(around, 0, THRESHOLDS - 1))
    best = float(thresholds[near[int(np.argmin(costs(near)))]])
    return Limits(max(-best, whole.low), min(best, whole.high))


def _two_limits(scan: Scan, grid: Grid, whole: Limits, unit: float) -> Limits:
    """Return the best pair of limits: a coarse mesh over both, then meshes around the best so far."""
    ratio = SPAN ** (1.0 / (COARSE - 1))
    lows = whole.low * ratio ** -np.arange(COARSE, dtype=np.float64)
    highs = whole.high * ratio ** -np.arange(COARSE, dtype=np.float64)
    best = _best_pair(scan, grid, lows, highs, unit)
    while ratio > 1.004:
        ratio = ratio ** (2.0 / (FINE - 1))
        factors = ratio ** (np.arange(FINE, dtype=np.float64) - FINE // 2)
        lows = np.maximum(best.low * factors, whole.low)
        highs = np.minimum(best.high * factors, whole.high)
        best = _best_pair(scan, grid, lows, highs, unit)
    return best


def _best_pair(scan: Scan, grid: Grid, lows: Floats, highs: Floats, unit: float) -> Limits:
    low, high = (mesh.reshape(-1) for mesh in np.meshgrid(lows, highs, indexing="ij"))
    scales = (high - low) / grid.steps
    bottoms = -np.clip(np.rint(-low / scales), 0, grid.steps).astype(np.int64)
    costs = scan(scales / unit, bottoms, bottoms + grid.steps)
    best = int(np.argmin(costs))
    return Limits(float(low[best]), float(high[best]))
