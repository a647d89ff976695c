"""NumPy twins of `_kernels_conv`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def _windows(x: Any, zero: Any, first: int, rows: int, width: int, kernel: Any, geometry: Any) -> Any:
    """Return [rows, width, KH, KW, C] int64 windows of one picture, zeros outside it."""
    strides, dilations, pads = geometry
    iy = (first + np.arange(rows))[:, None] * strides[0] - pads[0] + np.arange(kernel[0]) * dilations[0]
    ix = np.arange(width)[:, None] * strides[1] - pads[1] + np.arange(kernel[1]) * dilations[1]
    inside = ((iy >= 0) & (iy < x.shape[0]))[:, None, :, None] & ((ix >= 0) & (ix < x.shape[1]))[None, :, None, :]
    rows_at, columns_at = np.clip(iy, 0, x.shape[0] - 1), np.clip(ix, 0, x.shape[1] - 1)
    picked = x[rows_at[:, None, :, None], columns_at[None, :, None, :]].astype(np.int64) - zero
    return np.where(inside[..., None], picked, 0)


def gather_windows(
    x: Any, zero: Any, first: Any, rows: Any, width: Any, kernel: Any, strides: Any, dilations: Any, pads: Any,
    cols: Any,
) -> None:  # fmt: skip
    """Write windows of one picture x [H, W, C] minus `zero` into cols [rows * width, KH * KW * C]."""
    cols[...] = _windows(x, zero, first, rows, width, kernel, (strides, dilations, pads)).reshape(cols.shape)


def depthwise_rows(
    x: Any, zero: Any, weight: Any, first: Any, strides: Any, dilations: Any, pads: Any, acc: Any
) -> None:
    """Write depthwise sums of one picture x [H, W, C] into acc [rows, width, C]."""
    windows = _windows(x, zero, first, acc.shape[0], acc.shape[1], weight.shape[:2], (strides, dilations, pads))
    acc[...] = np.einsum("yxklc,klc->yxc", windows, weight.astype(np.int64))
