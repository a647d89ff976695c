"""NumPy twins of `_kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def compare(truth: NDArray[np.float32], found: NDArray[Any], scale: float, zero_point: float, sums: Any) -> None:
    """Write sum f*f, sum r*r, sum f*r, sum (f-r)^2 into `sums`; see `_kernels`."""
    f = truth.astype(np.float64)
    r = (found.astype(np.float64) - zero_point) * scale
    sums[:] = [(f * f).sum(), (r * r).sum(), (f * r).sum(), ((f - r) ** 2).sum()]


def quantize(
    truth: NDArray[np.float32],
    scale: float,
    zero_point: float,
    low: float,
    high: float,
    found: NDArray[Any],
    sums: Any,
) -> None:
    """Write the integers into `found`; signal, error, its clipped part and the clipped count into `sums`."""
    f = truth.astype(np.float64)
    whole = np.rint(f / scale) + zero_point
    kept = np.clip(whole, low, high)
    found[:] = kept.astype(found.dtype)
    squared = (f - (kept - zero_point) * scale) ** 2
    clipped = whole != kept
    sums[:] = [(f * f).sum(), squared.sum(), squared[clipped].sum(), np.count_nonzero(clipped)]
