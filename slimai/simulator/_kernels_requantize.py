"""Numba kernels: accumulator rows [R, C] plus bias to output integers, one pass, per-channel tables.

Each has a NumPy twin of the same name and signature in `_reference_requantize`. `acc` holds integers in any
dtype; `tables` is [T, C], one row a table, named in each docstring. Int32 forms require |acc + bias| (and the rounding
term) to stay below 2**31, which the caller proves. Steps are cast one by one and shifts masked: only then
does the compiler keep 32-bit vector lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.compiling import njit


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def xi_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write ((sat((acc + bias) >> p) * m + half) >> q) + zero, clamped.

    tables, int32: bias with the pre-rounding term, p, least, most (the saturation), m, half, q.
    """
    bias, pre, least, most = tables[0], tables[1], tables[2], tables[3]
    factor, half, shift = tables[4], tables[5], tables[6]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.int32(np.int32(source[c]) + bias[c])
            narrow = np.int32(total >> np.int32(pre[c] & 31))
            narrow = min(max(narrow, least[c]), most[c])
            value = np.int32(np.int32(narrow * factor[c]) + half[c])
            value = np.int32(np.int32(value >> np.int32(shift[c] & 31)) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def scaled_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write floor((acc + bias) * m + 0.5) + zero, clamped; tables, float64: bias, limit of the sum, m."""
    bias, limit, factor = tables[0], tables[1], tables[2]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.float64(source[c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            value = np.int32(np.int32(np.floor(total * factor[c] + 0.5)) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def scaled_long_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write ((acc + bias) * m + half) >> s) + zero, clamped, where sum * m + half stays below 2**63.

    tables, int64: bias, limit of the sum, m, half, s.
    """
    bias, limit, factor, half, shift = tables[0], tables[1], tables[2], tables[3], tables[4]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.int64(source[c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            value = np.int32(np.int32((total * factor[c] + half[c]) >> (shift[c] & 63)) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def scaled_halves_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write floor((acc + bias) * m / 2**s + 1 / 2) + zero, clamped, where sum * m needs more bits than a float64 has.

    m = high * 2**16 + low and s >= 17, so the value is floor((sum * high + floor(sum * low / 2**16) + 2**(s - 17)) /
    2**(s - 16)), exact while |sum| <= 2**37. tables, float64: bias, limit of the sum, high, low / 2**16, 2**(s - 17),
    2**(16 - s).
    """
    bias, limit, upper, lower, half, factor = tables[0], tables[1], tables[2], tables[3], tables[4], tables[5]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.float64(source[c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            rest = np.floor(total * lower[c]) + half[c]
            value = np.int32(np.int32(np.floor((total * upper[c] + rest) * factor[c])) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def scaled_wide_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write what `scaled_halves_rows` does in int64, for |acc + bias| < 2**47 and s >= 16.

    tables, int64: bias, limit of the sum, m, 2**(s - 1), s - 16.
    """
    bias, limit, factor, half, shift = tables[0], tables[1], tables[2], tables[3], tables[4]
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = np.int64(acc[row, c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            rest = ((total & 0xFFFF) * factor[c] + half[c]) >> 16
            value = np.int32((((total >> 16) * factor[c] + rest) >> shift[c]) + zero)
            out[row, c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def two_step_rows(acc: Any, tables: Any, shifts: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write gemmlowp's two roundings, the first in float64.

    tables, float64: bias, limit of the sum, m. shifts, int32: the right shift, its rounding term and 1 where
    that is not 0 (ties go away from zero: one less for negative values).
    """
    bias, limit, factor = tables[0], tables[1], tables[2]
    right, half, odd = shifts[0], shifts[1], shifts[2]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.float64(source[c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            value = np.int32(np.floor(total * factor[c] + 0.5))
            value = np.int32(np.int32(value + half[c]) - np.int32(np.int32(value >> np.int32(31)) & odd[c]))
            value = np.int32(np.int32(value >> np.int32(right[c] & 31)) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def two_step_halves_rows(acc: Any, tables: Any, shifts: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write what `two_step_rows` does where sum * m needs more bits than a float64 has.

    m = high * 2**16 + low, so (sum * m + 2**30) >> 31 = floor((sum * high + floor(sum * low / 2**16 + 2**14)) / 2**15),
    exact while |sum| < 2**37. tables, float64: bias, limit of the sum, high, low / 2**16. shifts: see `two_step_rows`.
    """
    bias, limit, upper, lower = tables[0], tables[1], tables[2], tables[3]
    right, half, odd = shifts[0], shifts[1], shifts[2]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.float64(source[c]) + bias[c]
            total = min(max(total, -limit[c]), limit[c])
            rest = np.floor(total * lower[c] + 16384.0)
            value = np.int32(np.floor((total * upper[c] + rest) * 2.0**-15))
            value = np.int32(np.int32(value + half[c]) - np.int32(np.int32(value >> np.int32(31)) & odd[c]))
            value = np.int32(np.int32(value >> np.int32(right[c] & 31)) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def two_step_short_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write gemmlowp's two roundings of sums that are not shifted left: products of two 32-bit factors.

    tables, int32: bias, m, and the `shifts` of `two_step_rows`.
    """
    bias, factor, right, half, odd = tables[0], tables[1], tables[2], tables[3], tables[4]
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.int32(np.int32(source[c]) + bias[c])
            value = np.int32((np.int64(total) * np.int64(factor[c]) + np.int64(1 << 30)) >> np.int64(31))
            value = np.int32(np.int32(value + half[c]) - np.int32(np.int32(value >> np.int32(31)) & odd[c]))
            value = np.int32(np.int32(value >> np.int32(right[c] & 31)) + zero)
            target[c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def two_step_wide_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write gemmlowp's two roundings in int64, for |acc + bias| < 2**31 and any shift.

    tables, int64: bias, left shift, m, rounding term, right shift.
    """
    bias, left, factor, half, right = tables[0], tables[1], tables[2], tables[3], tables[4]
    top = np.int64(1 << 31)
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            total = (np.int64(acc[row, c]) + bias[c]) << left[c]
            total = min(max(total, -top), top)
            value = (total * factor[c] + (1 << 30)) >> 31
            if half[c] > 0 and value < 0:
                value -= 1
            value = ((value + half[c]) >> right[c]) + zero
            out[row, c] = min(max(value, low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def double_rows(acc: Any, tables: Any, reach: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write round((acc + bias) * m) + zero in float64, ties away from zero, clamped.

    tables, float64: bias, m. reach: a magnitude beyond every clamp.
    """
    bias, factor = tables[0], tables[1]
    for row in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            value = (np.float64(acc[row, c]) + bias[c]) * factor[c]
            value = min(max(value, -reach), reach)
            size = np.floor(abs(value))
            size += abs(value) - size >= 0.5
            rounded = np.int32(size) if value >= 0 else -np.int32(size)
            out[row, c] = min(max(np.int32(rounded + zero), low), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def float_rows(acc: Any, bias: Any, factor: Any, least: Any, most: Any, zero: Any, out: Any) -> None:
    """Write ONNX Runtime's float32 requantization: multiply, clamp, round half to even, add the zero point.

    bias: [C] int32. factor: [C] float32.
    """
    for row in range(acc.shape[0]):
        source, target = acc[row], out[row]
        for c in range(acc.shape[1]):
            total = np.int32(np.int32(source[c]) + bias[c])
            value = np.float32(np.float32(total) * factor[c])
            value = min(max(value, least), most)
            target[c] = np.int32(np.int32(np.rint(value)) + zero)
