"""Sigmoid and tanh of the gates of recurrent operators: s16 with power-of-two steps -> s16 of 0.15 fixed point.

Two recipes, each tabulated over every s16: gemmlowp's fixed-point functions (8-bit layers; formulas: gemmlowp
`fixedpoint.h`, restated on int64 arrays of 16-bit integers) and lines between 256 knots of the sigmoid (16-bit layers;
as TFLite's 16-bit LOGISTIC and TANH). Recipe: docs/arithmetic.md, section 6.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from slimai.simulator.fixed_point import Int, half_up_shift, rounding_shift
from slimai.simulator.ops.tflite_tables import sigmoid_of_scaled, tanh_of_scaled

GATE_BITS = 3  # integer bits of what goes into a gate: steps of 2**-12
WIDE_REACH = 43691  # of sums of gates in wide layers: 3 * 43690 is the last place between the 256 knots
_LOW, _HIGH = -(1 << 15), (1 << 15) - 1
_ONE2 = 1 << 13  # 1.0 with two integer bits
# exp(-2**k), k = -2 .. 4, exp(-1/8), 1/3, 48/17 and -32/17, the last two with two integer bits; 0.15 fixed point
_FACTORS = (25520, 19875, 12055, 4435, 600, 11, 0)
_EXP_EIGHTH, _THIRD, _NEWTON_0, _NEWTON_1 = 28918, 10923, 23130, -15420


def _clamp(value: Int) -> Int:
    return np.clip(value, _LOW, _HIGH)


def _high(a: Int | int, b: Int | int) -> Int:
    """Return the saturating rounding doubling high multiply of s16: half up."""
    return _clamp((np.asarray(a, np.int64) * b + (1 << 14)) >> 15)


def _exp_quarter(a: Int) -> Int:
    """Return exp of a in [-1/4, 0), 0.15 fixed point."""
    x = a + (1 << 12)
    x2 = _high(x, x)
    x3, x4 = _high(x2, x), _high(x2, x2)
    tail = rounding_shift(_high(rounding_shift(x4, 2) + x3, _THIRD) + x2, 1)
    return _clamp(_EXP_EIGHTH + _high(_EXP_EIGHTH, x + tail))


def _exp(a: Int, integer_bits: int) -> Int:
    """Return exp(a), 0.15 fixed point, of a <= 0 with `integer_bits` integer bits."""
    fraction_bits = 15 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    part = (a & (quarter - 1)) - quarter
    result = _exp_quarter(_clamp(part << integer_bits))
    remainder = part - a
    for place, factor in zip(range(-2, min(integer_bits, 5)), _FACTORS, strict=False):
        chosen = (remainder & (1 << (fraction_bits + place))) != 0
        result = np.where(chosen, _high(result, factor), result)
    if integer_bits > 5:
        result = np.where(a < -(32 << fraction_bits), 0, result)
    return np.where(a == 0, _HIGH, result)


def _newton(a: Int) -> Int:
    """Return 2 / (1 + a) with two integer bits of a in [0, 1], 0.15 fixed point: three Newton steps."""
    half = (a + _HIGH + 1) >> 1
    x = _NEWTON_0 + _high(half, _NEWTON_1)
    for _ in range(3):
        x = x + _clamp(_high(x, _ONE2 - _high(half, x)) << 2)
    return x


def fixed_sigmoid(x: Int) -> Int:
    """Return the sigmoid of s16 with `GATE_BITS` integer bits by gemmlowp's fixed-point recipe."""
    positive = _clamp(_newton(_exp(-np.abs(x), GATE_BITS)) << 1)
    return np.where(x == 0, 1 << 14, np.where(x > 0, positive, _HIGH - positive))


def fixed_tanh(x: Int, integer_bits: int) -> Int:
    """Return tanh of s16 with `integer_bits` (0 .. 12) integer bits by gemmlowp's fixed-point recipe."""
    positive = _clamp((_newton(_exp(-np.abs(x), integer_bits + 1)) - _ONE2) << 2)
    return np.where(x == 0, 0, np.where(x > 0, positive, -positive))


def line_sigmoid(x: Int) -> Int:
    """Return the sigmoid of s16 with `GATE_BITS` integer bits by lines between knots."""
    return sigmoid_of_scaled(3 * x)


def line_tanh(x: Int, integer_bits: int) -> Int:
    """Return tanh of s16 with `integer_bits` integer bits by lines between knots."""
    left = integer_bits - GATE_BITS
    return tanh_of_scaled(x * (3 << left) if left >= 0 else half_up_shift(3 * x, -left))


@cache
def gate_tables(*, wide: bool, cell_bits: int) -> tuple[Int, Int, Int]:
    """Return sigmoid and tanh of gates and tanh of cells with `cell_bits` integer bits: [65536] each.

    Entry i belongs to the integer i - 32768; nobody writes into them. wide: of layers with 16-bit activations.
    """
    every = np.arange(_LOW, _HIGH + 1, dtype=np.int64)
    if wide:
        return line_sigmoid(every), line_tanh(every, GATE_BITS), line_tanh(every, cell_bits)
    return fixed_sigmoid(every), fixed_tanh(every, GATE_BITS), fixed_tanh(every, cell_bits)


@cache
def added_tables(*, wide: bool) -> tuple[Int, Int]:
    """Return sigmoid and tanh of gates whose parts are added, [2 * n] each: entry i belongs to the integer i - n.

    n: 2**15; of wide layers `WIDE_REACH`, where the knots end: at 8 a sigmoid is 11 steps of 16 bits below 1.
    """
    if not wide:
        return gate_tables(wide=False, cell_bits=0)[:2]
    every = np.arange(-WIDE_REACH, WIDE_REACH, dtype=np.int64)
    return line_sigmoid(every), line_tanh(every, GATE_BITS)
