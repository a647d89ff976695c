"""NumPy twins of `_kernels_elementwise`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def look_up_flat(x: Any, low: Any, table: Any, out: Any) -> None:
    """Write table[x - low]."""
    out[...] = table[x.astype(np.int64) - low]


def weighted_sum(a: Any, za: Any, ka: Any, b: Any, zb: Any, kb: Any, acc: Any) -> None:
    """Write (a - za) * ka + (b - zb) * kb into acc."""
    acc[...] = (a.astype(np.int64) - za) * ka + (b.astype(np.int64) - zb) * kb


def table_sum(a: Any, low_a: Any, table_a: Any, b: Any, low_b: Any, table_b: Any, acc: Any) -> None:
    """Write table_a[a - low_a] + table_b[b - low_b] into acc."""
    acc[...] = table_a[a.astype(np.int64) - low_a] + table_b[b.astype(np.int64) - low_b]


def scaled_sum(a: Any, za: Any, ka: Any, b: Any, zb: Any, kb: Any, shifts: Any, acc: Any) -> None:
    """Write A + sign * B with A = round_half_up((a - za) * 2**left * ka / 2**31) / 2**shift, ties away; B likewise."""
    parts = []
    for values, zero, factor, right, half in ((a, za, ka, *shifts[:2]), (b, zb, kb, *shifts[2:4])):
        rounded = (((values.astype(np.int64) - zero) << int(shifts[5])) * int(factor) + (1 << 30)) >> 31
        parts.append((rounded + half - ((rounded < 0) & (half > 0))) >> right)
    acc[...] = parts[0] + shifts[4] * parts[1]


def centred_product(a: Any, za: Any, b: Any, zb: Any, acc: Any) -> None:
    """Write (a - za) * (b - zb) into acc."""
    acc[...] = (a.astype(np.int64) - za) * (b.astype(np.int64) - zb)


def look_up_rows(x: Any, low: Any, tables: Any, out: Any) -> None:
    """Write tables[c, x - low] of rows x [R, C]."""
    out[...] = tables[np.arange(x.shape[1]), x.astype(np.int64) - low]


def quantize_flat(x: Any, scale: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write round_half_even(x / scale) + zero, clamped."""
    out[...] = np.clip(np.rint(x.astype(np.float64) / scale) + zero, low, high)


def lower_rows(y: Any, limits: Any) -> None:
    """Bring rows down to the limits of their columns, in place."""
    np.minimum(y, limits, out=y)


def sloped_rows(x: Any, zero: Any, slopes: Any, acc: Any) -> None:
    """Write v = x - zero of rows, v * slopes[c] where v is negative."""
    value = x.astype(np.int64) - zero
    acc[...] = np.where(value < 0, value * slopes, value)


def chosen_rows(x: Any, zero: Any, below: Any, out: Any) -> None:
    """Write `below` into `out` where x < zero."""
    out[...] = np.where(x.astype(np.int64) < zero, below, out)
