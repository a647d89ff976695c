"""Compiled scans of clip limits over one histogram; `_reference_search` has the NumPy twins.

Everything is in units of one bin: bin i covers [first + i, first + i + 1), its values spread evenly. A grid is
(scale, low, high): integers low..high, of which q stands for q * scale and takes what is nearest to it; the two
outer ones take all that lies beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit

Floats = NDArray[np.float64]


@njit(nogil=True, cache=True)
def moments(counts: NDArray[np.int64], first: int) -> Any:
    """Return [3, B + 1] running sums of count, first and second moment, in bin units."""
    sums = np.zeros((3, counts.size + 1))
    for i in range(counts.size):
        n, a = np.float64(counts[i]), np.float64(first + i)
        sums[0, i + 1] = sums[0, i] + n
        sums[1, i + 1] = sums[1, i] + n * (a + 0.5)
        sums[2, i + 1] = sums[2, i] + n * (a * a + a + 1.0 / 3.0)
    return sums


@njit(nogil=True, cache=True)
def squared_error(sums: Floats, first: float, scale: float, low: int, high: int) -> Any:
    """Return the summed squared error of one grid (scale in bin units)."""
    bins = sums.shape[1] - 1
    begin = min(max(int(np.rint(first / scale)), low), high)
    end = min(max(int(np.rint((first + bins) / scale)), low), high)
    total = 0.0
    left0 = left1 = left2 = 0.0
    for q in range(begin, end + 1):
        edge = (q + 0.5) * scale - first
        if q == end or edge >= bins:
            right0, right1, right2 = sums[0, bins], sums[1, bins], sums[2, bins]
        else:
            i = int(edge)
            f = edge - i
            a = first + i
            n = sums[0, i + 1] - sums[0, i]
            right0 = sums[0, i] + n * f
            right1 = sums[1, i] + n * f * (a + 0.5 * f)
            right2 = sums[2, i] + n * f * (a * a + a * f + f * f / 3.0)
        value = q * scale
        total += (right2 - left2) - 2.0 * value * (right1 - left1) + value * value * (right0 - left0)
        left0, left1, left2 = right0, right1, right2
    return total


@njit(nogil=True, cache=True)
def fine_error(sums: Floats, first: float, scale: float, low: int, high: int) -> Any:
    """Return the summed squared error of a grid finer than the bins: scale^2 / 12 inside, the distance outside."""
    bins = sums.shape[1] - 1
    total = 0.0
    inside = sums[0, bins]
    for side in (low, high):
        end = side * scale
        edge = min(max(end - first, 0.0), float(bins))
        i = min(int(edge), bins - 1)
        f = edge - i
        a = first + i
        n = sums[0, i + 1] - sums[0, i]
        part0 = sums[0, i] + n * f
        part1 = sums[1, i] + n * f * (a + 0.5 * f)
        part2 = sums[2, i] + n * f * (a * a + a * f + f * f / 3.0)
        if side == high:
            part0, part1, part2 = sums[0, bins] - part0, sums[1, bins] - part1, sums[2, bins] - part2
        total += part2 - 2.0 * end * part1 + end * end * part0
        inside -= part0
    return total + inside * scale * scale / 12.0


@njit(nogil=True, cache=True)
def scan_mse(sums: Floats, first: float, scales: Floats, lows: Any, highs: Any, errors: Floats) -> None:
    """Write the summed squared error, in bin units, of each grid into `errors`."""
    for k in range(scales.size):
        if highs[k] - lows[k] > 4096:
            errors[k] = fine_error(sums, first, scales[k], lows[k], highs[k])
        else:
            errors[k] = squared_error(sums, first, scales[k], lows[k], highs[k])


@njit(nogil=True, cache=True)
def entropies(counts: NDArray[np.int64]) -> Any:
    """Return [3, B + 1] running sums of count, count * log(count), and of bins that are not empty."""
    sums = np.zeros((3, counts.size + 1))
    for i in range(counts.size):
        n = np.float64(counts[i])
        sums[0, i + 1] = sums[0, i] + n
        sums[1, i + 1] = sums[1, i] + (n * np.log(n) if n > 0 else 0.0)
        sums[2, i + 1] = sums[2, i] + (1.0 if n > 0 else 0.0)
    return sums


@njit(nogil=True, cache=True)
def divergence(sums: Floats, first: int, scale: float, low: int, high: int) -> Any:
    """Return KL(P || Q) in nats for one grid; infinity where all of an outer cell lies beyond its limit.

    P: the histogram inside the limits, what lies beyond added to the outermost bins inside. Q: the counts inside
    the limits, each grid cell spread evenly over its bins that are not empty. The bin of 0.0 is a cell of its own:
    0.0 is exact. A bin belongs to the cell of its centre.
    """
    bins = sums.shape[1] - 1
    start = min(max(int(np.ceil((low - 0.5) * scale - first - 0.5)), 0), bins)
    stop = min(max(int(np.ceil((high + 0.5) * scale - first - 0.5)), 0), bins)
    if stop <= start:
        return np.inf
    below, above = sums[0, start], sums[0, bins] - sums[0, stop]
    total, kept = sums[0, bins], sums[0, stop] - sums[0, start]
    if kept <= 0.0:
        return np.inf
    own = sums[1, stop] - sums[1, start]
    first_bin, last_bin = sums[0, start + 1] - below, sums[0, stop] - sums[0, stop - 1]
    extra_low, extra_high = below, above
    if start == stop - 1:
        extra_low, extra_high = below + above, 0.0
    own += _gain(first_bin, extra_low) + _gain(last_bin, extra_high)
    zero = -first
    cross = 0.0
    left = start
    q = int(np.rint((first + start + 0.5) / scale))
    while left < stop:
        right = min(max(int(np.ceil((q + 0.5) * scale - first - 0.5)), left), stop)
        if left <= zero < right:
            for piece in ((left, zero), (zero, zero + 1), (zero + 1, right)):
                cross += _cell(sums, piece[0], piece[1], start, stop, extra_low, extra_high)
        else:
            cross += _cell(sums, left, right, start, stop, extra_low, extra_high)
        left = right
        q += 1
    return (own - cross) / total + np.log(kept / total)


@njit(nogil=True, cache=True)
def _gain(count: float, extra: float) -> Any:
    """Return what adding `extra` to a bin adds to its count * log(count)."""
    if extra <= 0.0:
        return 0.0
    before = count * np.log(count) if count > 0 else 0.0
    return (count + extra) * np.log(count + extra) - before


@njit(nogil=True, cache=True)
def _cell(sums: Floats, left: int, right: int, start: int, stop: int, extra_low: float, extra_high: float) -> Any:
    """Return sum(p) * log(count / occupied) of bins left..right-1; -inf when only values from beyond lie there."""
    if right <= left:
        return 0.0
    count = sums[0, right] - sums[0, left]
    occupied = sums[2, right] - sums[2, left]
    mass = count
    if left == start and extra_low > 0.0:
        mass += extra_low
        occupied += 1.0 if sums[0, start + 1] - sums[0, start] == 0.0 else 0.0
    if right == stop and extra_high > 0.0:
        mass += extra_high
        occupied += 1.0 if sums[0, stop] - sums[0, stop - 1] == 0.0 else 0.0
    if mass == 0.0:
        return 0.0
    if count == 0.0:
        return -np.inf
    return mass * np.log(count / occupied)


@njit(nogil=True, cache=True)
def scan_kl(sums: Floats, first: int, scales: Floats, lows: Any, highs: Any, errors: Floats) -> None:
    """Write KL(P || Q) of each grid into `errors`."""
    for k in range(scales.size):
        # a cell below one bin cannot be told from its bin: the divergence would vanish for ever smaller limits
        errors[k] = divergence(sums, first, scales[k], lows[k], highs[k]) if scales[k] >= 1.0 else np.inf
