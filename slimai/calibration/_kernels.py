"""Compiled loops of the calibration pass. Each has a NumPy twin of the same signature in `_reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 4096
_MAGNITUDE = np.int32(0x7FFFFFFF)


@njit(nogil=True, cache=True)
def _ordered(bits: Any) -> Any:
    """Return an int32 that sorts like the float32 with these bits (-0.0 just below 0.0, NaN outside infinity)."""
    return bits ^ ((bits >> np.int32(31)) & _MAGNITUDE)


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
    bins = np.empty(BLOCK, np.uint32)
    scale = np.float64(inverse_width)
    offset = np.int32(first)
    for begin in range(start, values.size, BLOCK):
        end = min(begin + BLOCK, values.size)
        low, high = _ordered(bits[begin]), _ordered(bits[begin])
        for bit in bits[begin:end]:
            key = _ordered(bit)
            low = min(low, key)
            high = max(high, key)
        extremes[0] = min(extremes[0], low)
        extremes[1] = max(extremes[1], high)
        if low < window[0] or high > window[1]:
            return begin
        block = values[begin:end]
        for i in range(end - begin):
            bins[i] = np.uint32(np.int32(np.floor(np.float64(block[i]) * scale)) - offset)
        for i in range(end - begin):
            table[bins[i]] += 1
    return int(values.size)


@njit(nogil=True, cache=True)
def channel_sums(values: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
    """Add to `sums` [C] the sums over all but axis 1 of `values` [N, C, K], in float64 and in memory order."""
    for n in range(values.shape[0]):
        for c in range(values.shape[1]):
            total = 0.0
            for value in values[n, c]:
                total += value
            sums[c] += total
