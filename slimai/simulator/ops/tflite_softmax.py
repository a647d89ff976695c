"""TFLite's reference softmax: gemmlowp's fixed-point exponential at 8 bits, interpolated tables at 16.

Formulas: gemmlowp `fixedpoint.h` (exp_on_negative_values, one_over_one_plus_x_for_x_in_0_1) and TFLite's
reference softmax, restated on int64 arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isclose
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.fixed_point import (
    S32_HIGH,
    Int,
    high_multiply,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_shift,
    saturate32,
)
from slimai.simulator.ops.knots import Function, interpolate, place_knots

_DIFFERENCE_BITS = 5
_SUM_BITS = 12
_UNITS = {8: 2.0**-8, 16: 2.0**-15}
_UNIT_TOLERANCE = 1e-3  # as TFLite checks the scale of 16 bits
_MOST = {8: 1 << _SUM_BITS, 16: 1 << 16}
# exp(-2**k) in 0.31 fixed point, k = -2 .. 4: factors for the bits of the remainder.
_FACTORS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def tflite_softmax(x: QParams, out: QParams, depth: int, *, interpolated: bool) -> Callable[[NDArray[Any]], Int] | None:
    """Return the function of integer rows [R, D], or None where TFLite has no such kernel.

    Its kernels take the output scale for granted (1/256 and 2**-15); the sum of the exponentials of 8 bits holds
    2**12 ones and wants an input scale above 2**-26, that of 16 bits 2**16 of them. interpolated: whether the network
    means the tables of 16 bits, which are up to 18 steps off and never 0 (a masked place keeps a weight of 2 steps).
    """
    parameters = tflite_parameters(x, out, depth, interpolated=interpolated)
    if isinstance(parameters, Tflite8):
        powers = exponentials8(parameters)
        tables = np.zeros((2, 256), np.int64)
        tables[0, : powers.size], tables[1, : powers.size] = powers, rounding_shift(powers, _SUM_BITS)
        return partial(_softmax8, parameters=parameters, tables=tables, out=out)
    if isinstance(parameters, Tflite16):
        return lambda rows: _softmax16(rows.astype(np.int64), parameters)
    return None


@dataclass(frozen=True)
class Tflite8:
    """Integers of the 8-bit kernel: the multiplier of a distance shifted `left`, and the largest that counts."""

    multiplier: int
    left: int
    radius: int


@dataclass(frozen=True, eq=False)
class Tflite16:
    """Integers of the 16-bit kernel: multiplier and exponent of a distance, 513 knots of exp(x) and of 1 / (1 + x)."""

    multiplier: int
    exponent: int
    exp_knots: Int
    inverse_knots: Int


def tflite_parameters(x: QParams, out: QParams, depth: int, *, interpolated: bool) -> Tflite8 | Tflite16 | None:
    """Return the integers of TFLite's kernel, or None where it has none (see `tflite_softmax`)."""
    bits = x.dtype.bits
    if bits != out.dtype.bits or not isclose(out.scale, _UNITS[bits], rel_tol=_UNIT_TOLERANCE) or depth >= _MOST[bits]:
        return None
    if bits == 8 and out.zero_point == out.dtype.low and x.scale > 2.0 ** (_DIFFERENCE_BITS - 31):
        scale = min(float(np.float32(x.scale)) * (1 << (31 - _DIFFERENCE_BITS)), (1 << 31) - 1.0)
        multiplier, left = quantize_multiplier(np.array([scale]))
        radius = ((1 << _DIFFERENCE_BITS) - 1) * (1 << (31 - _DIFFERENCE_BITS)) / float(1 << int(left[0]))
        return Tflite8(int(multiplier[0]), int(left[0]), int(np.floor(radius)))
    if bits == 16 and interpolated and not out.zero_point and not x.zero_point:
        multiplier, exponent = quantize_multiplier(np.array([float(np.float32(x.scale)) / (10.0 / 65535.0)]))
        exp_knots = _softmax_knots(np.exp, -10.0, 0.0)
        inverse_knots = _softmax_knots(lambda v: 1.0 / (1.0 + v), 0.0, 1.0)
        return Tflite16(int(multiplier[0]), int(exponent[0]), exp_knots, inverse_knots)
    return None


def exponentials8(kernel: Tflite8) -> Int:
    """Return the exponentials of distances 0, 1 .. from the largest, 0.31 fixed point: those that count, of 256."""
    distance = -np.arange(min(kernel.radius, 255) + 1, dtype=np.int64)
    return exp_on_negative_values(high_multiply(distance << kernel.left, kernel.multiplier))


def _exp_quarter(a: Int) -> Int:
    """Return exp of a in [-1/4, 0), 0.31 fixed point: a polynomial around -1/8."""
    x = a + (1 << 28)
    x2 = high_multiply(x, x)
    x3, x4 = high_multiply(x2, x), high_multiply(x2, x2)
    quarter = rounding_shift(x4, 2)
    tail = rounding_shift(high_multiply(quarter + x3, 715827883) + x2, 1)
    return 1895147668 + high_multiply(1895147668, x + tail)


def exp_on_negative_values(a: Int) -> Int:
    """Return exp(a) in 0.31 fixed point of a <= 0 with 5 integer bits."""
    fraction_bits = 31 - _DIFFERENCE_BITS
    quarter = 1 << (fraction_bits - 2)
    part = (a & (quarter - 1)) - quarter
    result = _exp_quarter(saturate32(part << _DIFFERENCE_BITS))
    remainder = part - a
    for place, factor in enumerate(_FACTORS):
        chosen = (remainder & (1 << (fraction_bits - 2 + place))) != 0
        result = np.where(chosen, high_multiply(result, factor), result)
    return np.where(a == 0, S32_HIGH, result)


def _leading_zeros(value: Int) -> Int:
    return 32 - np.frexp(value.astype(np.float64))[1].astype(np.int64)


def _softmax8(rows: NDArray[Any], parameters: Tflite8, tables: Int, out: QParams) -> Int:
    """Return the integers of rows; tables: see `tflite_rows`."""
    from slimai.simulator._kernels_softmax import tflite_rows  # noqa: PLC0415 - spares numba

    found = np.empty(rows.shape, np.int64)
    exponent = _SUM_BITS + 31 - out.dtype.bits
    tflite_rows(rows, tables, parameters.radius, exponent, out.dtype.low, found)
    return found


def _softmax_knots(function: Function, low: float, high: float) -> Int:
    """Return the knots over [low, high] of an output range -1 .. 1."""
    unit = 65536.0 / (2.0 / 65535 * 32767 - 2.0 / 65535 * -32768)
    return place_knots(function, np.float64(low), np.float64(high), np.float64(unit))


def _softmax16(rows: Int, kernel: Tflite16) -> Int:
    distance = rows - rows.max(axis=1, keepdims=True)
    scaled = multiply_by_quantized_multiplier(distance, kernel.multiplier, kernel.exponent) + 32767
    powers = interpolate(np.clip(scaled, -32768, 32767), kernel.exp_knots)
    total = powers.sum(axis=1, keepdims=True)
    headroom = _leading_zeros(total)
    shifted = ((total << (headroom - 1)) + (1 << 13)) >> 14
    inverse = interpolate(np.clip(shifted - ((1 << 15) + (1 << 16)), -32768, 32767), kernel.inverse_knots)
    shift = 31 - headroom
    result: Int = np.clip((powers * inverse + (np.int64(1) << (shift - 1))) >> shift, 0, 32767)
    return result
