"""NumPy twins of `_kernels_requantize`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def xi_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write the `xi_sym` requantization of accumulator rows."""
    bias, pre, least, most, factor, half, shift = tables.astype(np.int64)
    narrow = np.clip((acc.astype(np.int64) + bias) >> pre, least, most)
    out[...] = np.clip(((narrow * factor + half) >> shift) + zero, low, high)


def scaled_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write the single-rounding requantization of accumulator rows."""
    bias, limit, factor = tables
    total = np.clip(acc.astype(np.float64) + bias, -limit, limit)
    out[...] = np.clip(np.floor(total * factor + 0.5) + zero, low, high)


def scaled_long_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write the single-rounding requantization of accumulator rows, with Python's integers."""
    bias, limit, factor, half, shift = tables
    total = np.clip(acc.astype(np.int64) + bias, -limit, limit).astype(object)
    value = (total * factor.astype(object) + half.astype(object)) // 2 ** shift.astype(object)
    out[...] = np.clip(value + int(zero), int(low), int(high)).astype(np.int64)


def scaled_halves_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write what `scaled_rows` does, with m = tables[2] * 2**16 + tables[3] * 2**16, in int64."""
    total = np.clip(acc + tables[0], -tables[1], tables[1]).astype(np.int64)
    upper, lower, half = (row.astype(np.int64) for row in (tables[2], tables[3] * 65536.0, tables[4]))
    shift = (-np.log2(tables[5])).astype(np.int64)
    value = (total * upper + ((total * lower) >> 16) + half) >> shift
    out[...] = np.clip(value + zero, low, high)


def scaled_wide_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write what `scaled_rows` does with integers of any size, of tables bias, limit, m, 2**(s - 1), s - 16."""
    factor, half, shift = tables[2:].astype(object)
    total = np.clip(acc.astype(np.int64) + tables[0], -tables[1], tables[1]).astype(object)
    value = (total * factor + half) // 2 ** (shift + 16)
    out[...] = np.clip(value + int(zero), int(low), int(high)).astype(np.int64)


def two_step_rows(acc: Any, tables: Any, shifts: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write gemmlowp's requantization of accumulator rows."""
    bias, limit, factor = tables
    right, half, _ = shifts.astype(np.int64)
    total = np.clip(acc.astype(np.float64) + bias, -limit, limit)
    value = np.floor(total * factor + 0.5).astype(np.int64)
    value = (value + half - ((value < 0) & (half > 0))) >> right
    out[...] = np.clip(value + zero, low, high)


def two_step_halves_rows(acc: Any, tables: Any, shifts: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write what `two_step_rows` does, with m = tables[2] * 2**16 + tables[3] * 2**16, in int64."""
    total = np.clip(acc + tables[0], -tables[1], tables[1]).astype(np.int64)
    upper, lower = tables[2].astype(np.int64), (tables[3] * 65536.0).astype(np.int64)
    value = (total * upper + ((total * lower + (1 << 30)) >> 16)) >> 15
    value = (value + shifts[1] - ((value < 0) & (shifts[2] > 0))) >> shifts[0]
    out[...] = np.clip(value + zero, low, high)


def two_step_short_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write gemmlowp's requantization of accumulator rows without a left shift."""
    bias, factor, right, half, odd = tables.astype(np.int64)
    value = ((acc.astype(np.int64) + bias) * factor + (1 << 30)) >> 31
    value = (value + half - ((value < 0) & (odd > 0))) >> right
    out[...] = np.clip(value + zero, low, high)


def two_step_wide_rows(acc: Any, tables: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write gemmlowp's requantization of accumulator rows, in int64."""
    bias, left, factor, half, right = tables
    total = np.clip((acc.astype(np.int64) + bias) << left, -(1 << 31), 1 << 31)
    value = (total * factor + (1 << 30)) >> 31
    value = (value + half - ((value < 0) & (half > 0))) >> right
    out[...] = np.clip(value + zero, low, high)


def double_rows(acc: Any, tables: Any, reach: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write the float64 requantization of accumulator rows."""
    bias, factor = tables
    value = np.clip((acc.astype(np.float64) + bias) * factor, -reach, reach)
    size = np.floor(np.abs(value))
    out[...] = np.clip(np.copysign(size + (np.abs(value) - size >= 0.5), value) + zero, low, high)


def float_rows(acc: Any, bias: Any, factor: Any, least: Any, most: Any, zero: Any, out: Any) -> None:
    """Write ONNX Runtime's float32 requantization of accumulator rows."""
    value = (acc.astype(np.int64) + bias).astype(np.float32) * factor
    out[...] = np.rint(np.minimum(np.maximum(value, least), most)).astype(np.int64) + zero
