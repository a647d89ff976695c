"""NumPy twins of `_kernels_requantize`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def xi_rows(  # noqa: PLR0917 - one table an argument, as the formula
    acc: Any, bias: Any, pre_shift: Any, least: Any, most: Any, multiplier: Any, half: Any, shift: Any,
    zero: Any, low: Any, high: Any, out: Any,
) -> None:  # fmt: skip
    """Write the `xi_sym` requantization of accumulator rows."""
    narrow = np.clip((acc.astype(np.int64) + bias) >> pre_shift, least, most)
    out[...] = np.clip(((narrow * multiplier + half) >> shift) + zero, low, high)


def scaled_rows(acc: Any, bias: Any, limit: Any, multiplier: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write the single-rounding requantization of accumulator rows."""
    total = np.clip(acc.astype(np.float64) + bias, -limit, limit)
    out[...] = np.clip(np.floor(total * multiplier + 0.5) + zero, low, high)


def two_step_rows(
    acc: Any, bias: Any, limit: Any, multiplier: Any, half: Any, shift: Any, zero: Any, low: Any, high: Any, out: Any
) -> None:
    """Write gemmlowp's requantization of accumulator rows."""
    total = np.clip(acc.astype(np.float64) + bias, -limit, limit)
    value = np.floor(total * multiplier + 0.5).astype(np.int64)
    value = (value + half - ((value < 0) & (half > 0))) >> shift
    out[...] = np.clip(value + zero, low, high)


def two_step_wide_rows(
    acc: Any, bias: Any, left: Any, multiplier: Any, half: Any, shift: Any, zero: Any, low: Any, high: Any, out: Any
) -> None:
    """Write gemmlowp's requantization of accumulator rows, in int64."""
    total = np.clip((acc.astype(np.int64) + bias) << left, -(1 << 31), 1 << 31)
    value = (total * multiplier + (1 << 30)) >> 31
    value = (value + half - ((value < 0) & (half > 0))) >> shift
    out[...] = np.clip(value + zero, low, high)


def double_rows(acc: Any, bias: Any, scale: Any, limit: Any, zero: Any, low: Any, high: Any, out: Any) -> None:
    """Write the float64 requantization of accumulator rows."""
    value = np.clip((acc.astype(np.float64) + bias) * scale, -limit, limit)
    size = np.floor(np.abs(value))
    out[...] = np.clip(np.copysign(size + (np.abs(value) - size >= 0.5), value) + zero, low, high)


def float_rows(acc: Any, bias: Any, scale: Any, least: Any, most: Any, zero: Any, out: Any) -> None:
    """Write ONNX Runtime's float32 requantization of accumulator rows."""
    value = (acc.astype(np.int64) + bias).astype(np.float32) * scale
    out[...] = np.rint(np.minimum(np.maximum(value, least), most)).astype(np.int64) + zero
