"""NumPy twins of `_kernels_softmax`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.fixed_point import S32_HIGH, Int, bit_length, high_multiply, rounding_shift, saturate32


def divided_rows(x: Any, table: Any, fraction: Any, zero: Any, out: Any) -> None:
    """Write zero + floor((E * fraction + 128 * S) / (256 * S))."""
    rows = x.astype(np.int64)
    powers = table[rows.max(axis=1, keepdims=True) - rows]
    total = powers.sum(axis=1, keepdims=True)
    out[...] = (powers * fraction + 128 * total) // (256 * total) + zero


def _reciprocal(a: Int) -> Int:
    half_sum = a + S32_HIGH
    half = np.sign(half_sum) * ((np.abs(half_sum) + 1) >> 1)
    x = 1515870810 + high_multiply(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - high_multiply(half, x)
        x = x + saturate32(high_multiply(x, error) << 2)
    return saturate32(x << 1)


def tflite_rows(x: Any, tables: Any, radius: Any, exponent: Any, low: Any, out: Any) -> None:
    """Write TFLite's 8-bit softmax of distances from a row's largest integer."""
    rows = x.astype(np.int64)
    distance = rows.max(axis=1, keepdims=True) - rows
    total = tables[1][distance].sum(axis=1, keepdims=True)
    zeros = 32 - bit_length(total)
    inverse = _reciprocal(((total << zeros) & 0xFFFFFFFF) - (1 << 31))
    integers = rounding_shift(high_multiply(inverse, tables[0][distance]), exponent - zeros) + low
    out[...] = np.where(distance <= radius, integers, low)
