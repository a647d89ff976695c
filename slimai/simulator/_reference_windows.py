"""NumPy twins of `_kernels_windows`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def window_quads(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write sums of windows of flat x times weights into acc, flat [rows, columns]."""
    blocks, steps, block, share = packed.shape
    at = starts[:rows, None, None].astype(np.int64) + offsets[:, None] + np.arange(share)
    windows = np.concatenate([x, np.zeros(share, x.dtype)])[at].reshape(rows, -1).astype(np.int64)
    matrix = packed.transpose(1, 3, 0, 2).reshape(steps * share, blocks * block)[:, :columns].astype(np.int64)
    acc[: rows * columns] = (windows @ matrix).reshape(-1)


def window_pairs(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write what `window_quads` does."""
    window_quads(x, starts, rows, offsets, packed, columns, acc)


def window_halves(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write sums 256 * high + low; blocks of high and of low weights take turns."""
    high, low = (np.zeros(rows * columns, np.int64) for _ in range(2))
    window_quads(x, starts, rows, offsets, packed[::2], columns, high)
    window_quads(x, starts, rows, offsets, packed[1::2], columns, low)
    acc[: rows * columns] = 256 * high + low


def place(x: Any, sizes: Any, steps: Any, zero: Any, fill: Any, top: Any, left: Any, whole: Any, row: Any) -> None:
    """Write x - zero of pictures into larger ones, `fill` around them."""
    count, height, width, channels = sizes
    grid = np.ix_(*(np.arange(size) * step for size, step in zip(sizes, steps, strict=True)))
    rows = (x[sum(grid)].astype(np.int64) - int(zero)).astype(whole.dtype).reshape(count, height, -1)
    target = whole.reshape(count, -1, row)
    target[...] = fill
    begin, end = max(top, 0), max(min(top + height, target.shape[1]), 0)
    target[:, begin:end, left : left + width * channels] = rows[:, begin - top : max(end - top, begin - top)]
