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
