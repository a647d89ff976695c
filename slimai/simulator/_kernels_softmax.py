"""Numba kernels of Softmax over integer rows [R, D]; NumPy twins of the same name and signature: `_reference_softmax`.

`out` is int64 [R, D], not yet clamped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.compiling import njit

_S32_HIGH = (1 << 31) - 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def divided_rows(x: Any, table: Any, fraction: Any, zero: Any, out: Any) -> None:
    """Write zero + floor((E * fraction + 128 * S) / (256 * S)), E = table[largest - x], S the sum of a row's E."""
    for row in range(x.shape[0]):
        source, target = x[row], out[row]
        largest = np.int64(source[0])
        for i in range(source.size):
            largest = max(largest, np.int64(source[i]))
        total = np.int64(0)
        for i in range(source.size):
            power = table[largest - np.int64(source[i])]
            target[i] = power
            total += power
        for i in range(source.size):
            target[i] = (target[i] * fraction + 128 * total) // (256 * total) + zero


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _high(a: Any, b: Any) -> Any:
    return min((a * b + (1 << 30)) >> 31, _S32_HIGH)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _inverse(a: Any) -> Any:
    """Return 1 / (1 + a) in 0.31 fixed point of a in [0, 1): three Newton steps."""
    half_sum = a + _S32_HIGH
    half = (abs(half_sum) + 1) >> 1
    if half_sum < 0:
        half = -half
    x = 1515870810 + _high(half, -1010580540)
    for _ in range(3):
        step = _high(x, (1 << 29) - _high(half, x)) << 2
        x = x + min(max(step, -_S32_HIGH - 1), _S32_HIGH)
    return min(max(x << 1, -_S32_HIGH - 1), _S32_HIGH)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def tflite_rows(x: Any, tables: Any, radius: Any, exponent: Any, low: Any, out: Any) -> None:
    """Write TFLite's 8-bit softmax of distances from a row's largest integer.

    tables: [2, 256] int64, of every distance its exponential and what that adds to the sum. radius: the largest that
    counts. exponent: the last right shift plus the leading zeros of the sum in 32 bits.
    """
    for row in range(x.shape[0]):
        source, target = x[row], out[row]
        largest = np.int64(source[0])
        for i in range(source.size):
            largest = max(largest, np.int64(source[i]))
        total = np.int64(0)
        for i in range(source.size):
            total += tables[1, largest - np.int64(source[i])]
        zeros, rest = np.int64(32), total
        while rest > 0:
            zeros, rest = zeros - 1, rest >> 1
        inverse = _inverse(((total << zeros) & 0xFFFFFFFF) - (1 << 31))
        shift = exponent - zeros
        half = (np.int64(1) << shift) >> 1
        for i in range(source.size):
            distance = largest - np.int64(source[i])
            value = _high(inverse, tables[0, distance])
            if value < 0 and half > 0:
                value -= 1
            target[i] = ((value + half) >> shift) + low if distance <= radius else low
