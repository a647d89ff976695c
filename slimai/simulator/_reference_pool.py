"""NumPy twins of `_kernels_pool`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def _windows(x: Any, fill: int, geometry: Any, shape: Any) -> Any:
    """Return [N, OH, OW, KH, KW, C] int64 windows, `fill` beside the picture."""
    kernel, strides, dilations, near = geometry
    parts = []
    for axis in range(2):
        at = (
            np.arange(shape[1 + axis])[:, None] * strides[axis] + np.arange(kernel[axis]) * dilations[axis] - near[axis]
        )
        parts.append((np.clip(at, 0, x.shape[1 + axis] - 1), (at >= 0) & (at < x.shape[1 + axis])))
    (y, y_in), (at, at_in) = parts
    found = x[:, y[:, None, :, None], at[None, :, None, :]].astype(np.int64)
    inside = y_in[:, None, :, None] & at_in[None, :, None, :]
    return np.where(inside[None, ..., None], found, fill)


def window_sums(x: Any, zero: Any, kernel: Any, strides: Any, dilations: Any, near: Any, acc: Any) -> None:
    """Write sums of x - zero over windows."""
    windows = _windows(x, int(zero), (kernel, strides, dilations, near), acc.shape)
    acc[...] = (windows - int(zero)).sum(axis=(3, 4))


def window_maxima(x: Any, least: Any, kernel: Any, strides: Any, dilations: Any, near: Any, out: Any) -> None:
    """Write the largest of x over windows."""
    out[...] = _windows(x, int(least), (kernel, strides, dilations, near), out.shape).max(axis=(3, 4))
