"""Numba kernels over flat arrays; NumPy twins of the same name and signature: `_reference_elementwise`."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.compiling import njit


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def look_up_flat(x: Any, low: Any, table: Any, out: Any) -> None:
    """Write table[x - low]."""
    for i in range(x.size):
        out[i] = table[np.int32(x[i]) - low]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def weighted_sum(a: Any, za: Any, ka: Any, b: Any, zb: Any, kb: Any, acc: Any) -> None:
    """Write (a - za) * ka + (b - zb) * kb into acc (int32 or int64)."""
    for i in range(a.size):
        acc[i] = (np.int32(a[i]) - za) * ka + (np.int32(b[i]) - zb) * kb


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def table_sum(a: Any, low_a: Any, table_a: Any, b: Any, low_b: Any, table_b: Any, acc: Any) -> None:
    """Write table_a[a - low_a] + table_b[b - low_b] into acc."""
    for i in range(a.size):
        acc[i] = table_a[np.int32(a[i]) - low_a] + table_b[np.int32(b[i]) - low_b]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def scaled_sum(a: Any, za: Any, ka: Any, b: Any, zb: Any, kb: Any, shifts: Any, acc: Any) -> None:
    """Write A + sign * B with A = round_half_up((a - za) * 2**left * ka / 2**31) / 2**shift, ties away; B likewise.

    ka, kb: int32. shifts: int32, the right shift of a and its rounding term, those of b, sign, left. acc: int32.
    (a - za) * 2**left stays below 2**31.
    """
    right_a, right_b, left = np.int32(shifts[0] & 31), np.int32(shifts[2] & 31), np.int32(shifts[5] & 31)
    half_a, half_b, sign = np.int32(shifts[1]), np.int32(shifts[3]), np.int32(shifts[4])
    odd_a, odd_b, half = np.int32(half_a > 0), np.int32(half_b > 0), np.int64(1 << 30)
    factor_a, factor_b, places = np.int64(ka), np.int64(kb), np.int64(31)
    for i in range(a.size):
        first = np.int32(np.int32(np.int32(a[i]) - za) << left)
        second = np.int32(np.int32(np.int32(b[i]) - zb) << left)
        x = np.int32((np.int64(first) * factor_a + half) >> places)
        y = np.int32((np.int64(second) * factor_b + half) >> places)
        x = np.int32(np.int32(x + half_a) - np.int32(np.int32(x >> np.int32(31)) & odd_a))
        y = np.int32(np.int32(y + half_b) - np.int32(np.int32(y >> np.int32(31)) & odd_b))
        acc[i] = np.int32(np.int32(x >> right_a) + np.int32(np.int32(y >> right_b) * sign))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def centred_product(a: Any, za: Any, b: Any, zb: Any, acc: Any) -> None:
    """Write (a - za) * (b - zb) into acc (int32 or int64)."""
    for i in range(a.size):
        acc[i] = (np.int32(a[i]) - za) * (np.int32(b[i]) - zb)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def look_up_rows(x: Any, low: Any, tables: Any, out: Any) -> None:
    """Write tables[c, x - low] of rows x [R, C]: one table a channel."""
    for row in range(x.shape[0]):
        source, target = x[row], out[row]
        for c in range(x.shape[1]):
            target[c] = tables[c, np.int32(source[c]) - low]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def quantize_flat(x: Any, scale: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write round_half_even(x / scale) + zero in float64, clamped."""
    for i in range(x.size):
        value = np.rint(np.float64(x[i]) / scale) + zero
        out[i] = np.int32(min(max(value, low), high))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def lower_rows(y: Any, limits: Any) -> None:
    """Bring rows y [R, C] down to limits [C] of their own type, in place."""
    for row in range(y.shape[0]):
        target = y[row]
        for c in range(y.shape[1]):
            target[c] = min(target[c], limits[c])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def sloped_rows(x: Any, zero: Any, slopes: Any, acc: Any) -> None:
    """Write v = x - zero of rows x [R, C], v * slopes[c] where v is negative, into acc (int32)."""
    for row in range(x.shape[0]):
        source, target = x[row], acc[row]
        for c in range(x.shape[1]):
            value = np.int32(np.int32(source[c]) - zero)
            product = np.int32(value * slopes[c])
            target[c] = product if value < 0 else value


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def chosen_rows(x: Any, zero: Any, below: Any, out: Any) -> None:
    """Write `below` into `out` where x < zero; all flat."""
    for i in range(x.size):
        out[i] = below[i] if x[i] < zero else out[i]
