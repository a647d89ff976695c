"""Fixed-point primitives on int64 arrays: exact for every value that the simulator can meet.

Shifts are arithmetic, so ``x >> n`` is floor(x / 2**n). Sources of the formulas: gemmlowp's fixed-point
functions and TFLite's ``quantization_util`` (multipliers), restated here in integers of unlimited range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
S32_LOW, S32_HIGH = -(1 << 31), (1 << 31) - 1


def round_half_away(value: Any) -> Any:
    """Return `value` (float) rounded to the nearest integer, ties away from zero, as float."""
    value = np.asarray(value)
    floor = np.floor(np.abs(value))
    return np.copysign(floor + (np.abs(value) - floor >= 0.5), value)


def quantize_multiplier(real: NDArray[np.float64]) -> tuple[Int, Int]:
    """Return (q31, e) with real ~ q31 * 2**(e - 31), 2**30 <= q31 < 2**31.

    q31 = round_half_away(f * 2**31) of real = f * 2**e, 0.5 <= f < 1; both are 0 where e < -31 or real is 0.
    """
    fraction, exponent = np.frexp(np.asarray(real, np.float64))
    fixed = round_half_away(fraction * float(1 << 31)).astype(np.int64)
    shift = exponent.astype(np.int64)
    carried = np.abs(fixed) == 1 << 31
    fixed, shift = np.where(carried, fixed // 2, fixed), np.where(carried, shift + 1, shift)
    vanished = (shift < -31) | (fixed == 0)
    return np.where(vanished, 0, fixed), np.where(vanished, 0, shift)


def multiply_shift(value: Any, multiplier: Any, shift: Any) -> Int:
    """Return (value * multiplier + 2**(shift - 1)) >> shift, exactly; the rounding term is 0 at shift 0.

    |value| < 2**47, 0 <= multiplier < 2**31, 0 <= shift <= 62. The product is taken in two halves because it
    may need 78 bits. Below a shift of 16 the value saturates at 2**30, where every output saturates too.
    """
    value, multiplier, shift = np.asarray(value, np.int64), np.asarray(multiplier), np.asarray(shift)
    value = np.where(shift < 16, np.clip(value, -(1 << 30), 1 << 30), value)
    rounding = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    short = np.minimum(shift, 16)
    high, low = value >> 16, value & 0xFFFF
    # (high * m * 2**16 + rest) >> shift, with rest = low * m + rounding: the part below 2**short is dropped first.
    rest = (low * multiplier + rounding) >> short
    result: Int = ((high * multiplier << (16 - short)) + rest) >> (shift - short)
    return result


def rounding_shift(value: Any, shift: Any) -> Int:
    """Return value / 2**shift rounded to nearest, ties away from zero."""
    shift = np.asarray(shift)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    result: Int = (value + half - ((value < 0) & (shift > 0))) >> shift
    return result


def high_multiply(a: Any, b: Any) -> Int:
    """Return the saturating rounding doubling high multiply of s32 values: (a * b + 2**30) >> 31."""
    result: Int = np.minimum((a * b + (1 << 30)) >> 31, S32_HIGH)
    return result


def saturate32(value: Any) -> Int:
    """Return the value clamped to 32 bits."""
    result: Int = np.clip(value, S32_LOW, S32_HIGH)
    return result


def multiply_by_quantized_multiplier(value: Any, multiplier: Any, exponent: Any) -> Int:
    """Return value * multiplier * 2**(exponent - 31) with gemmlowp's two roundings.

    First half up after the high multiply of ``value << max(exponent, 0)``, then ties away from zero in the
    right shift by ``max(-exponent, 0)``. |value| < 2**47; a left-shifted value saturates to 47 bits.
    """
    value, exponent = np.asarray(value, np.int64), np.asarray(exponent)
    left, right = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    limit = (np.int64(1) << (47 - left)) - 1
    wide = np.clip(value, -limit, limit) << left
    return rounding_shift(multiply_shift(wide, multiplier, np.int64(31)), right)


def half_up_shift(value: Any, shift: Any) -> Int:
    """Return (value + half(shift)) >> shift: rounded to nearest, ties up; 0 <= shift <= 62."""
    shift = np.asarray(shift, np.int64)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    result: Int = (value + half) >> shift
    return result


def bit_length(value: Int) -> Int:
    """Return the number of bits of each value (0 of 0), which is not negative: 64 less its leading zeros."""
    high = value >> 32  # both parts are exact in float64
    small = np.frexp(np.where(high > 0, high, value).astype(np.float64))[1]
    return np.where(high > 0, small + 32, small).astype(np.int64)


def floor_root(value: Int) -> Int:
    """Return floor(sqrt(value)) of each value, 0 <= value < 2**62."""
    root = np.sqrt(value.astype(np.float64)).astype(np.int64)
    root -= root * root > value
    return root + ((root + 1) * (root + 1) <= value)


def fits(bound: float, bits: int) -> bool:
    """Return whether every integer of magnitude up to `bound` fits a signed integer of `bits` bits."""
    return bound <= float((1 << (bits - 1)) - 1)
