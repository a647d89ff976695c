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


def place_bytes(x: Any, flip: Any, fill: Any, top: Any, left: Any, whole: Any) -> None:
    """Write pictures, bits `flip` turned, into larger ones."""
    whole[...] = fill
    whole[:, top : top + x.shape[1], left : left + x.shape[2]] = x ^ flip


def place_centred(x: Any, zero: Any, top: Any, left: Any, whole: Any) -> None:
    """Write integers x - zero of pictures into larger ones, 0 around them."""
    whole[...] = 0
    whole[:, top : top + x.shape[1], left : left + x.shape[2]] = x.astype(np.int64) - zero


def place_planes(x: Any, zero: Any, fill: Any, top: Any, left: Any, whole: Any) -> None:
    """Write x - zero of pictures [N, H, W, C] in any memory order, modulo the type of `whole`."""
    rows = (x.astype(np.int64) - int(zero)).reshape(*x.shape[:2], -1)
    whole[...] = fill
    whole[:, top : top + rows.shape[1], left : left + rows.shape[2]] = rows.astype(whole.dtype)
