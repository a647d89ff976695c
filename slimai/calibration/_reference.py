"""NumPy twins of `_kernels`: slow, plain, the oracle of its tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


def ordered(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return int32 keys that sort like the float32 `values` (-0.0 just below 0.0, NaN outside infinity)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    keys: NDArray[np.int32] = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return keys


def unordered(keys: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the float32 values behind the `keys` of `ordered`."""
    bits = keys ^ ((keys >> 31) & np.int32(0x7FFFFFFF))
    return np.asarray(bits, np.int32).view(np.float32)


def count_blocks(
    values: NDArray[np.float32],
    start: int,
    table: NDArray[np.int64],
    inverse_width: float,
    first: int,
    window: NDArray[np.int32],
    extremes: NDArray[np.int32],
) -> int:
    """Count ``floor(value * inverse_width) - first`` into `table`; see `_kernels.count_blocks`."""
    for begin in range(start, values.size, BLOCK):
        block = values[begin : begin + BLOCK]
        keys = ordered(block)
        extremes[:] = min(extremes[0], keys.min()), max(extremes[1], keys.max())
        if keys.min() < window[0] or keys.max() > window[1]:
            return begin
        bins = np.floor(block.astype(np.float64) * inverse_width).astype(np.int64) - first
        table += np.bincount(bins, minlength=table.size)
    return int(values.size)


def add_channel_means(values: NDArray[Any], limbs: NDArray[np.int64]) -> None:
    """Add the mean of every channel of `values` [N, C, K] to `limbs` [9, C]; see `_kernels.add_channel_means`."""
    padded = np.zeros((*values.shape[:2], -(-values.shape[2] // 8), 8))
    padded.reshape(*values.shape[:2], -1)[:, :, : values.shape[2]] = values
    lanes = np.zeros((*values.shape[:2], 8))
    for step in range(padded.shape[2]):
        lanes += padded[:, :, step]
    while lanes.shape[2] > 1:
        lanes = lanes[:, :, ::2] + lanes[:, :, 1::2]
    for means in lanes[:, :, 0] / max(values.shape[2], 1):
        rest = means.copy()
        for k in reversed(range(len(limbs))):
            unit = np.ldexp(1.0, 32 * k - 160)
            piece = np.trunc(rest / unit)
            limbs[k] += piece.astype(np.int64)
            rest -= piece * unit
