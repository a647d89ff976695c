"""NumPy twins of `_kernels_conv`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def widen(x: Any, zero: Any, out: Any) -> None:
    """Write x - zero of flat integers into out."""
    out[...] = x.astype(np.int64) - zero


def gather_windows(x: Any, zero: Any, first: Any, width: Any, steps: Any, taps: Any, cols: Any) -> None:
    """Write windows of a padded picture minus `zero` into cols [rows * width, K]."""
    rows = cols.shape[0] // width
    y = (first + np.arange(rows))[:, None] * steps[0] + np.arange(taps[0]) * steps[1]
    at = steps[4] + np.arange(width)[:, None, None] * steps[2] + np.arange(taps[1])[:, None] * steps[3]
    at = (at + np.arange(taps[2])).reshape(width, -1)
    cols[...] = (x[y[:, None, :, None], at[None, :, None, :]].astype(np.int64) - zero).reshape(cols.shape)


def depthwise_any(x: Any, weight: Any, first: Any, strides: Any, dilations: Any, acc: Any) -> None:
    """Write depthwise sums of a padded picture x [H, W, C] into acc [rows, width, C]."""
    y = (first + np.arange(acc.shape[0]))[:, None] * strides[0] + np.arange(weight.shape[0]) * dilations[0]
    at = np.arange(acc.shape[1])[:, None] * strides[1] + np.arange(weight.shape[1]) * dilations[1]
    windows = x[y[:, None, :, None], at[None, :, None, :]].astype(np.int64)
    acc[...] = np.einsum("yxklc,klc->yxc", windows, weight.astype(np.int64))


depthwise_wide = depthwise_any


def depthwise_nine(x: Any, weight: Any, first: Any, strides: Any, dilations: Any, acc: Any) -> None:
    """Write 3 x 3 depthwise sums; weight is [9, C]."""
    depthwise_any(x, weight.reshape(3, 3, -1), first, strides, dilations, acc)


depthwise_nine_wide = depthwise_nine


def depthwise_nine_flat(x: Any, weight: Any, first: Any, row_steps: Any, taps: Any, acc: Any) -> None:
    """Write 3 x 3 depthwise sums with pixels and channels as one axis."""
    length = acc.shape[1]
    spread = np.resize(weight.astype(np.int64).T, (length, 9)).T if length % weight.shape[1] else None
    factors = spread if spread is not None else np.tile(weight.astype(np.int64), length // weight.shape[1])
    acc[...] = 0
    for oy in range(acc.shape[0]):
        for tap in range(9):
            line = x[taps[tap % 3], (first + oy) * row_steps[0] + tap // 3 * row_steps[1]].astype(np.int64)
            acc[oy] += (line[taps[3 + tap % 3] :][:length] * factors[tap]).astype(acc.dtype)


def overlap_add(sums: Any, width: Any, kernel: Any, strides: Any, dilations: Any, pads: Any, acc: Any) -> None:
    """Add products of input pixels into the output of a transposed convolution."""
    parts = sums.reshape(-1, width, kernel[0], kernel[1], acc.shape[2])
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            oy = np.arange(parts.shape[0]) * strides[0] - pads[0] + ky * dilations[0]
            ox = np.arange(width) * strides[1] - pads[1] + kx * dilations[1]
            rows, columns = (oy >= 0) & (oy < acc.shape[0]), (ox >= 0) & (ox < acc.shape[1])
            acc[np.ix_(oy[rows], ox[columns])] += parts[:, :, ky, kx][rows][:, columns]
