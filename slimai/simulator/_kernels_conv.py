"""Numba kernels of convolution on NHWC integers: gathering windows and depthwise sums.

NumPy twins of the same name and signature: `_reference_conv`. Padding contributes the zero point, which is
0 after it is taken away, so taps outside the picture are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def gather_windows(
    x: Any, zero: Any, first: Any, rows: Any, width: Any, kernel: Any, strides: Any, dilations: Any, pads: Any,
    cols: Any,
) -> None:  # fmt: skip
    """Write windows of one picture x [H, W, C] minus `zero` into cols [rows * width, KH * KW * C].

    Output rows first .. first + rows - 1 of `width` pixels; pads are (top, left).
    """
    height, breadth, channels = x.shape
    for oy in range(rows):
        for ox in range(width):
            target = cols[oy * width + ox]
            place = 0
            for ky in range(kernel[0]):
                iy = (first + oy) * strides[0] - pads[0] + ky * dilations[0]
                for kx in range(kernel[1]):
                    ix = ox * strides[1] - pads[1] + kx * dilations[1]
                    if 0 <= iy < height and 0 <= ix < breadth:
                        source = x[iy, ix]
                        for c in range(channels):
                            target[place + c] = np.int32(source[c]) - zero
                    else:
                        for c in range(channels):
                            target[place + c] = 0
                    place += channels


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depthwise_rows(
    x: Any, zero: Any, weight: Any, first: Any, strides: Any, dilations: Any, pads: Any, acc: Any
) -> None:
    """Write depthwise sums of one picture x [H, W, C] into acc [rows, width, C] (int32 or float64).

    weight is [KH, KW, C] in the dtype of acc.
    """
    height, breadth, channels = x.shape
    for oy in range(acc.shape[0]):
        for ox in range(acc.shape[1]):
            total = acc[oy, ox]
            for c in range(channels):
                total[c] = 0
            for ky in range(weight.shape[0]):
                iy = (first + oy) * strides[0] - pads[0] + ky * dilations[0]
                if iy < 0 or iy >= height:
                    continue
                for kx in range(weight.shape[1]):
                    ix = ox * strides[1] - pads[1] + kx * dilations[1]
                    if ix < 0 or ix >= breadth:
                        continue
                    source, tap = x[iy, ix], weight[ky, kx]
                    for c in range(channels):
                        total[c] += (np.int32(source[c]) - zero) * tap[c]
