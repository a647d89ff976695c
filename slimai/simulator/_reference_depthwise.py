"""NumPy twins of `_kernels_depthwise`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def depth_quads(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, acc: Any) -> None:
    """Write depthwise sums of windows of flat x into acc, flat [rows, channels]."""
    groups, blocks, block, share = packed.shape
    first = np.minimum(np.arange(blocks) * block, max(channels - block, 0))
    taps = np.zeros((groups * share, max(channels, block)), np.int64)
    for at, weights in zip(first, packed.transpose(1, 0, 3, 2), strict=True):
        taps[:, at : at + block] = weights.reshape(-1, block)
    places = starts[:rows, None, None].astype(np.int64) + offsets[: len(taps), None] + np.arange(channels)
    acc[: rows * channels] = (x[places].astype(np.int64) * taps[:, :channels]).sum(axis=1).reshape(-1)


def depth_pairs(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, acc: Any) -> None:
    """Write what `depth_quads` does."""
    depth_quads(x, starts, rows, offsets, packed, channels, acc)


def depth_halves(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, acc: Any) -> None:
    """Write sums 256 * high + low; blocks of high and of low weights take turns."""
    high, low = (np.zeros(rows * channels, np.int64) for _ in range(2))
    depth_quads(x, starts, rows, offsets, packed[:, ::2], channels, high)
    depth_quads(x, starts, rows, offsets, packed[:, 1::2], channels, low)
    acc[: rows * channels] = 256 * high + low
