"""Numba kernels: accumulator rows [R, C] plus bias to output integers, one pass, per-channel tables.

Each has a NumPy twin of the same name and signature in `_reference_requantize`. `acc` holds integers in any
dtype; int32 forms require |acc + bias| (and the rounding term) to stay below 2**31, which the caller proves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def xi_rows(  # noqa: PLR0917 - one table an argument, as the formula
    acc: Any, bias: Any, pre_shift: Any, least: Any, most: Any, multiplier: Any, half: Any, shift: Any,
    zero: Any, low: Any, high: Any, out: Any,
) -> None:  # fmt: skip
    """Write ((sat((acc + bias') >> p) * m + half) >> q) + zero, clamped; bias' holds the pre-rounding term."""
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = np.int32(np.int32(acc[row, c]) + bias[c])
            narrow = np.int32(total >> pre_shift[c])
            narrow = min(max(narrow, least[c]), most[c])
            value = np.int32(np.int32(np.int32(narrow * multiplier[c]) + half[c]) >> shift[c])
            out[row, c] = min(max(np.int32(value + zero), low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def scaled_rows(acc: Any, bias: Any, limit: Any, multiplier: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write floor((acc + bias) * multiplier + 0.5) + zero, clamped; float64, exact within `limit`."""
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = np.float64(acc[row, c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            value = np.int32(np.floor(total * multiplier[c] + 0.5))
            out[row, c] = min(max(np.int32(value + zero), low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def two_step_rows(
    acc: Any, bias: Any, limit: Any, multiplier: Any, half: Any, shift: Any, zero: Any, low: Any, high: Any, out: Any
) -> None:
    """Write gemmlowp's two roundings, the first in float64, exact within `limit`."""
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = np.float64(acc[row, c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            value = np.int32(np.floor(total * multiplier[c] + 0.5))
            # Ties away from zero; `half` is 0 where the shift is 0, and then the sign must not count.
            value = np.int32(value + half[c] - ((value < 0) & (half[c] > 0)))
            out[row, c] = min(max(np.int32(np.int32(value >> shift[c]) + zero), low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def two_step_wide_rows(
    acc: Any, bias: Any, left: Any, multiplier: Any, half: Any, shift: Any, zero: Any, low: Any, high: Any, out: Any
) -> None:
    """Write gemmlowp's two roundings in int64, for |acc + bias| < 2**31 and any shift."""
    top = np.int64(1 << 31)
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = (np.int64(acc[row, c]) + bias[c]) << left[c]
            total = min(max(total, -top), top)
            value = (total * multiplier[c] + (1 << 30)) >> 31
            if half[c] > 0 and value < 0:
                value -= 1
            value = ((value + half[c]) >> shift[c]) + zero
            out[row, c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def double_rows(acc: Any, bias: Any, scale: Any, limit: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write round((acc + bias) * scale) + zero in float64, ties away from zero; `limit` lies beyond the clamp."""
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            value = (np.float64(acc[row, c]) + bias[c]) * scale[c]
            value = min(max(value, -limit), limit)
            size = np.floor(abs(value))
            size += abs(value) - size >= 0.5
            rounded = np.int32(size) if value >= 0 else -np.int32(size)
            out[row, c] = min(max(np.int32(rounded + zero), low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def float_rows(acc: Any, bias: Any, scale: Any, least: Any, most: Any, zero: Any, out: Any) -> None:
    """Write ONNX Runtime's float32 requantization: multiply, clamp, round half to even, add the zero point."""
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = np.int32(np.int32(acc[row, c]) + bias[c])
            value = np.float32(total) * scale[c]
            value = min(max(value, least), most)
            out[row, c] = np.int32(np.int32(np.rint(value)) + zero)
