"""Compiled loops of the per-layer analysis; `_reference` has the NumPy twins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit


@njit(nogil=True, cache=True)
def compare(truth: NDArray[np.float32], found: NDArray[Any], scale: float, zero_point: float, sums: Any) -> None:
    """Write sum f*f, sum r*r, sum f*r, sum (f-r)^2 into `sums` [4] float64, with r = (found - zero_point) * scale.

    truth, found: [n]; sums are taken in order, in float64.
    """
    ff = rr = fr = ee = 0.0
    for i in range(truth.size):
        f = np.float64(truth[i])
        r = (np.float64(found[i]) - zero_point) * scale
        ff += f * f
        rr += r * r
        fr += f * r
        ee += (f - r) * (f - r)
    sums[0], sums[1], sums[2], sums[3] = ff, rr, fr, ee


@njit(nogil=True, cache=True)
def quantize(
    truth: NDArray[np.float32],
    scale: float,
    zero_point: float,
    low: float,
    high: float,
    found: NDArray[Any],
    sums: Any,
) -> None:
    """Write the integers of `truth` [n] into `found` [n], and four numbers about them into `sums` [4] float64.

    sums: squared values, squared error, the part of it from clipped values, and how many values are clipped: those
    that lie more than half a step beyond the ends `low` and `high`.
    """
    signal = error = clipped_error = 0.0
    clipped = 0
    for i in range(truth.size):
        f = np.float64(truth[i])
        whole = np.rint(f / scale) + zero_point
        kept = min(max(whole, low), high)
        found[i] = kept
        gap = f - (kept - zero_point) * scale
        signal += f * f
        error += gap * gap
        if whole != kept:
            clipped_error += gap * gap
            clipped += 1
    sums[0], sums[1], sums[2], sums[3] = signal, error, clipped_error, clipped
