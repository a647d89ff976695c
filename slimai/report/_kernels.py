"""Compiled loops of the per-layer analysis; `_reference` has the NumPy twins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit

# several sums side by side, as many as the processor has lanes: 2 to 4 times as fast, the last digits are its own
LANES = {"reassoc", "nsz"}


@njit(nogil=True, cache=True, fastmath=LANES)
def compare(truth: NDArray[np.float32], found: NDArray[Any], scale: float, zero_point: float, sums: Any) -> None:
    """Write sum f*f, sum r*r, sum f*r, sum (f-r)^2 into `sums` [4] float64, with r = (found - zero_point) * scale.

    truth, found: [n]; sums are taken in float64.
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


@njit(nogil=True, cache=True, fastmath=LANES)
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
    signal = error = clipped_error = clipped = 0.0
    for i in range(truth.size):  # without branches, which would keep it from running in lanes
        f = np.float64(truth[i])
        whole = np.rint(f / scale) + zero_point
        kept = max(low, whole)
        kept = min(high, kept)
        found[i] = np.int32(kept)
        gap = f - (kept - zero_point) * scale
        signal += f * f
        error += gap * gap
        beyond = np.float64(whole != kept)
        clipped_error += beyond * (gap * gap)
        clipped += beyond
    sums[0], sums[1], sums[2], sums[3] = signal, error, clipped_error, clipped
