"""Numba kernels of convolution on padded NHWC integers: gathering windows and depthwise sums.

NumPy twins of the same name and signature: `_reference_conv`. Integer steps are cast to 32 bits one by one:
only then does the compiler keep them in 32-bit vector lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.compiling import njit


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def widen(x: Any, zero: Any, out: Any) -> None:
    """Write x - zero of flat integers into out (float32, float64 or int64)."""
    for i in range(x.size):
        out[i] = np.int32(np.int32(x[i]) - zero)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def gather_windows(x: Any, zero: Any, first: Any, width: Any, steps: Any, taps: Any, cols: Any) -> None:
    """Write windows of a padded picture minus `zero` into cols [rows * width, K], from output row `first`.

    x: [H, W * C], rows of all pixels. steps: row step of the output, of a tap; column step of the output, of a
    tap (in elements); element at which the first window starts. taps: (vertical, horizontal, elements a tap).
    """
    rows = cols.shape[0] // width
    run = taps[2]
    for oy in range(rows):
        for ox in range(width):
            target = cols[oy * width + ox]
            place = 0
            for ky in range(taps[0]):
                line = x[(first + oy) * steps[0] + ky * steps[1]]
                for kx in range(taps[1]):
                    start = steps[4] + ox * steps[2] + kx * steps[3]
                    source = line[start : start + run]
                    part = target[place : place + run]
                    for i in range(run):
                        part[i] = np.int32(np.int32(source[i]) - zero)
                    place += run


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depthwise_nine(x: Any, weight: Any, first: Any, strides: Any, dilations: Any, acc: Any) -> None:
    """Write 3 x 3 depthwise sums of a padded picture x [H, W, C] into acc [rows, width, C] int32.

    weight is [9, C] int32; sums stay below 2**31. The zero point is not taken away here.
    """
    w0, w1, w2, w3, w4 = weight[0], weight[1], weight[2], weight[3], weight[4]
    w5, w6, w7, w8 = weight[5], weight[6], weight[7], weight[8]
    for oy in range(acc.shape[0]):
        top = (first + oy) * strides[0]
        middle, bottom = top + dilations[0], top + 2 * dilations[0]
        for ox in range(acc.shape[1]):
            left = ox * strides[1]
            centre, right = left + dilations[1], left + 2 * dilations[1]
            a0, a1, a2 = x[top, left], x[top, centre], x[top, right]
            a3, a4, a5 = x[middle, left], x[middle, centre], x[middle, right]
            a6, a7, a8 = x[bottom, left], x[bottom, centre], x[bottom, right]
            total = acc[oy, ox]
            for c in range(acc.shape[2]):
                s0 = np.int32(np.int32(np.int32(a0[c]) * w0[c]) + np.int32(np.int32(a1[c]) * w1[c]))
                s1 = np.int32(np.int32(np.int32(a2[c]) * w2[c]) + np.int32(np.int32(a3[c]) * w3[c]))
                s2 = np.int32(np.int32(np.int32(a4[c]) * w4[c]) + np.int32(np.int32(a5[c]) * w5[c]))
                s3 = np.int32(np.int32(np.int32(a6[c]) * w6[c]) + np.int32(np.int32(a7[c]) * w7[c]))
                s0 = np.int32(np.int32(s0 + s1) + np.int32(s2 + s3))
                total[c] = np.int32(s0 + np.int32(np.int32(a8[c]) * w8[c]))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depthwise_nine_wide(x: Any, weight: Any, first: Any, strides: Any, dilations: Any, acc: Any) -> None:
    """Write sums as `depthwise_nine` does, weight and acc float64: exact below 2**53."""
    w0, w1, w2, w3, w4 = weight[0], weight[1], weight[2], weight[3], weight[4]
    w5, w6, w7, w8 = weight[5], weight[6], weight[7], weight[8]
    for oy in range(acc.shape[0]):
        top = (first + oy) * strides[0]
        middle, bottom = top + dilations[0], top + 2 * dilations[0]
        for ox in range(acc.shape[1]):
            left = ox * strides[1]
            centre, right = left + dilations[1], left + 2 * dilations[1]
            a0, a1, a2 = x[top, left], x[top, centre], x[top, right]
            a3, a4, a5 = x[middle, left], x[middle, centre], x[middle, right]
            a6, a7, a8 = x[bottom, left], x[bottom, centre], x[bottom, right]
            total = acc[oy, ox]
            for c in range(acc.shape[2]):
                s0 = np.float64(np.int32(a0[c])) * w0[c] + np.float64(np.int32(a1[c])) * w1[c]
                s1 = np.float64(np.int32(a2[c])) * w2[c] + np.float64(np.int32(a3[c])) * w3[c]
                s2 = np.float64(np.int32(a4[c])) * w4[c] + np.float64(np.int32(a5[c])) * w5[c]
                s3 = np.float64(np.int32(a6[c])) * w6[c] + np.float64(np.int32(a7[c])) * w7[c]
                total[c] = (s0 + s1) + (s2 + s3) + np.float64(np.int32(a8[c])) * w8[c]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depthwise_nine_flat(x: Any, weight: Any, first: Any, row_steps: Any, taps: Any, acc: Any) -> None:
    """Write 3 x 3 depthwise sums with pixels and channels as one axis: for few channels.

    x: [S, H, L], the padded picture's columns by their remainder modulo the column stride S, each row flat.
    weight: [9, T] int32, repeated over whole pixels to T elements. row_steps: row step of the output, of a tap.
    taps: for each of three columns its remainder, then for each the element at which it starts. acc: [rows, width * C].
    """
    length, chunk = acc.shape[1], weight.shape[1]
    w0, w1, w2, w3, w4 = weight[0], weight[1], weight[2], weight[3], weight[4]
    w5, w6, w7, w8 = weight[5], weight[6], weight[7], weight[8]
    for oy in range(acc.shape[0]):
        top = (first + oy) * row_steps[0]
        middle, bottom = top + row_steps[1], top + 2 * row_steps[1]
        for start in range(0, length, chunk):
            count = min(chunk, length - start)
            at0, at1, at2 = taps[3] + start, taps[4] + start, taps[5] + start
            a0, a1, a2 = x[taps[0], top][at0:], x[taps[1], top][at1:], x[taps[2], top][at2:]
            a3, a4, a5 = x[taps[0], middle][at0:], x[taps[1], middle][at1:], x[taps[2], middle][at2:]
            a6, a7, a8 = x[taps[0], bottom][at0:], x[taps[1], bottom][at1:], x[taps[2], bottom][at2:]
            total = acc[oy][start:]
            for c in range(count):
                s0 = np.int32(np.int32(np.int32(a0[c]) * w0[c]) + np.int32(np.int32(a1[c]) * w1[c]))
                s1 = np.int32(np.int32(np.int32(a2[c]) * w2[c]) + np.int32(np.int32(a3[c]) * w3[c]))
                s2 = np.int32(np.int32(np.int32(a4[c]) * w4[c]) + np.int32(np.int32(a5[c]) * w5[c]))
                s3 = np.int32(np.int32(np.int32(a6[c]) * w6[c]) + np.int32(np.int32(a7[c]) * w7[c]))
                s0 = np.int32(np.int32(s0 + s1) + np.int32(s2 + s3))
                total[c] = np.int32(s0 + np.int32(np.int32(a8[c]) * w8[c]))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def overlap_add(sums: Any, width: Any, kernel: Any, strides: Any, dilations: Any, pads: Any, acc: Any) -> None:
    """Add products of input pixels into the output of a transposed convolution.

    sums: [H * W, KH * KW * O], what each input pixel gives to its taps. acc: [OH, OW, O], to be added to.
    """
    outputs = acc.shape[2]
    for pixel in range(sums.shape[0]):
        top = (pixel // width) * strides[0] - pads[0]
        left = (pixel % width) * strides[1] - pads[1]
        for ky in range(kernel[0]):
            oy = top + ky * dilations[0]
            if oy < 0 or oy >= acc.shape[0]:
                continue
            for kx in range(kernel[1]):
                ox = left + kx * dilations[1]
                if ox < 0 or ox >= acc.shape[1]:
                    continue
                place = (ky * kernel[1] + kx) * outputs
                part, total = sums[pixel][place : place + outputs], acc[oy, ox]
                for c in range(outputs):
                    total[c] += part[c]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depthwise_any(x: Any, weight: Any, first: Any, strides: Any, dilations: Any, acc: Any) -> None:
    """Write depthwise sums of a padded picture x [H, W, C] into acc [rows, width, C] int32.

    weight is [KH, KW, C] int32; sums stay below 2**31. The zero point is not taken away here.
    """
    for oy in range(acc.shape[0]):
        for ox in range(acc.shape[1]):
            total = acc[oy, ox]
            total[:] = 0
            for ky in range(weight.shape[0]):
                for kx in range(weight.shape[1]):
                    source = x[(first + oy) * strides[0] + ky * dilations[0], ox * strides[1] + kx * dilations[1]]
                    tap = weight[ky, kx]
                    for c in range(acc.shape[2]):
                        total[c] = np.int32(total[c] + np.int32(np.int32(source[c]) * tap[c]))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depthwise_wide(x: Any, weight: Any, first: Any, strides: Any, dilations: Any, acc: Any) -> None:
    """Write depthwise sums as `depthwise_any` does, in float64: exact below 2**53."""
    for oy in range(acc.shape[0]):
        for ox in range(acc.shape[1]):
            total = acc[oy, ox]
            total[:] = 0.0
            for ky in range(weight.shape[0]):
                for kx in range(weight.shape[1]):
                    source = x[(first + oy) * strides[0] + ky * dilations[0], ox * strides[1] + kx * dilations[1]]
                    tap = weight[ky, kx]
                    for c in range(acc.shape[2]):
                        total[c] += np.float64(np.int32(source[c])) * tap[c]
