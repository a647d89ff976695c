"""Compiled loops of the calibration pass. Each has a NumPy twin of the same signature in `_reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit

BLOCK = 4096
_MAGNITUDE = np.int32(0x7FFFFFFF)
_SIGN = np.int32(31)
_TOP_UNIT, _LIMB = 2.0**96, 2.0**32  # the ninth limb's, and how much finer the next one is


@njit(nogil=True, cache=True)
def _ordered(bits: Any) -> Any:
    """Return an int32 that sorts like the float32 with these bits (-0.0 just below 0.0, NaN outside infinity).

    Every step is cast back to int32: the compiler's own int64 would halve the speed and more.
    """
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN) & _MAGNITUDE))


@njit(nogil=True, cache=True)
def count_blocks(
    values: NDArray[np.float32],
    start: int,
    table: NDArray[np.int64],
    inverse_width: float,
    first: int,
    window: NDArray[np.int32],
    extremes: NDArray[np.int32],
) -> int:
    """Count ``floor(value * inverse_width) - first`` into `table`, from element `start`; return where it stopped.

    It stops at the end, or before the first block with a value outside `window` (lowest and highest
    value that have a bin, as ordered integers). `extremes` (lowest, highest, ordered) takes in every
    block looked at, so that the caller can widen the table and go on from the returned element.
    """
    bits = values.view(np.int32)
    bins, keys = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.int32)
    offset = np.int32(first)
    # equal neighbours (zeros behind a Relu) would wait for each other in one table; four are worth their zeroing
    # and adding up for large arrays only
    wide = values.size - start >= 4 * table.size
    lanes = np.zeros((4, table.size if wide else 1), np.uint32)
    stop = start
    while stop < values.size:
        end = min(stop + BLOCK, values.size)
        low, high = _span(bits[stop:end], keys)
        extremes[0] = min(extremes[0], low)
        extremes[1] = max(extremes[1], high)
        if low < window[0] or high > window[1]:
            break
        if inverse_width >= 1.0:  # a power of two: the product is exact in float32, and nothing falls below it
            _bins(values[stop:end], np.float32(inverse_width), offset, bins)
        else:
            _bins(values[stop:end], np.float64(inverse_width), offset, bins)
        if wide:
            _count_in_lanes(bins[: end - stop], lanes)
        else:
            for index in bins[: end - stop]:
                table[index] += 1
        stop = end
    if wide:
        for i in range(table.size):
            table[i] += np.int64(lanes[0, i]) + np.int64(lanes[1, i]) + np.int64(lanes[2, i]) + np.int64(lanes[3, i])
    return stop


@njit(nogil=True, cache=True)
def _span(bits: NDArray[np.int32], keys: NDArray[np.int32]) -> Any:
    """Return the lowest and the highest ordered integer of a block; `keys` is memory for all of them.

    Two loops: one that does both is not vectorized and takes six times as long.
    """
    for i in range(bits.size):
        keys[i] = _ordered(bits[i])
    low = high = keys[0]
    for i in range(bits.size):
        key = keys[i]
        if key < low:  # noqa: PLR1730 - the builtin is not vectorized
            low = key
        if key > high:  # noqa: PLR1730
            high = key
    return low, high


@njit(nogil=True, cache=True)
def _bins(block: NDArray[np.float32], scale: Any, offset: Any, bins: NDArray[np.uint32]) -> None:
    """Write the bin of every value of a block."""
    for i in range(block.size):
        bins[i] = np.uint32(np.int32(np.floor(block[i] * scale)) - offset)


@njit(nogil=True, cache=True)
def _count_in_lanes(bins: NDArray[np.uint32], lanes: NDArray[np.uint32]) -> None:
    """Count bins into four tables by turns."""
    first, second, third, fourth = lanes[0], lanes[1], lanes[2], lanes[3]
    whole = bins.size // 4 * 4
    for i in range(0, whole, 4):
        first[bins[i]] += 1
        second[bins[i + 1]] += 1
        third[bins[i + 2]] += 1
        fourth[bins[i + 3]] += 1
    for i in range(whole, bins.size):
        first[bins[i]] += 1


@njit(nogil=True, cache=True)
def add_channel_means(values: NDArray[np.float32], limbs: NDArray[np.int64]) -> None:
    """Add the mean of every channel of `values` [N, C, K] to `limbs` [9, C], fixed point from 2^-160.

    Limb k counts units of 2^(32k - 160); what is below the lowest is dropped, image by image. A sum is taken in
    float64 in eight lanes (element i goes to lane i mod 8), added up in pairs.
    """
    size = values.shape[2]
    whole = size // 8 * 8
    lanes = np.empty(8)
    for n in range(values.shape[0]):
        for c in range(values.shape[1]):
            row = values[n, c]
            a = b = d = e = f = g = h = p = 0.0
            for i in range(0, whole, 8):
                a += row[i]
                b += row[i + 1]
                d += row[i + 2]
                e += row[i + 3]
                f += row[i + 4]
                g += row[i + 5]
                h += row[i + 6]
                p += row[i + 7]
            lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5], lanes[6], lanes[7] = a, b, d, e, f, g, h, p
            for i in range(whole, size):
                lanes[i - whole] += row[i]
            total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))
            _add_fixed_point(total / max(size, 1), limbs[:, c])


@njit(nogil=True, cache=True)
def _add_fixed_point(value: float, limbs: NDArray[np.int64]) -> None:
    """Add a value to one column of limbs; all factors are powers of two, so nothing is rounded."""
    scaled = value / _TOP_UNIT
    for k in range(limbs.size - 1, -1, -1):
        if scaled == 0.0:
            return
        piece = np.trunc(scaled)
        limbs[k] += np.int64(piece)
        scaled = (scaled - piece) * _LIMB
