"""SQRT, RSQRT and LOG as TFLite computes them, for networks read from TFLite.

SQRT truncates, RSQRT of 8 bits is a Newton iteration in fixed point, RSQRT and LOG of 16 bits are knots and lines, far
off near 0: float networks have better recipes. Formulas: TFLite's elementwise.cc and GetInvSqrtQuantizedMultiplierExp,
restated on integers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.quantizer.params import QParams
from slimai.simulator.context import Compiled, LayerContext
from slimai.simulator.fixed_point import (
    Int,
    high_multiply,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    round_half_away,
    rounding_shift,
    saturate32,
)
from slimai.simulator.lookup import every_integer, table_layer
from slimai.simulator.ops.knots import STEPS, knots_of

Float = NDArray[np.float32]
_F = np.float32
_ONE, _HALF_THREE, _HALF_ROOT = 1 << 28, (1 << 28) + (1 << 27), 1518500250  # 3.28, 3.28, sqrt(1/2) in 0.31
_ITERATIONS = 5
_KEPT_BITS = 20

TFLITE_ROOTS = ("Sqrt", "Rsqrt", "Log")


def tflite_root(context: LayerContext) -> Compiled:
    """Return TFLite's own layer of a Sqrt, Rsqrt or Log; it wants one width on both sides."""
    x, out, op = context.input(), context.out, context.layer.node.op
    if x.dtype.bits != out.dtype.bits:
        raise InputError.at(context.layer.name, f"TFLite has no {op} between types of different width", out.dtype.name)
    if op == "Sqrt":
        return table_layer(context, _sqrt(x, out))
    if op == "Rsqrt" and x.dtype.bits == 8:
        return table_layer(context, _rsqrt(x, out))
    function = _log32(out) if op == "Log" else _rsqrt32(out)
    if x.dtype.bits == 8:
        real = _F(x.scale) * (every_integer(x) - x.zero_point).astype(_F)
        values = round_half_away(function(real) * (_F(1.0) / _F(out.scale))) + out.zero_point
        return table_layer(context, np.clip(values, out.dtype.low, out.dtype.high).astype(np.int64))
    knots = knots_of(function, x, out.scale, _F)
    return table_layer(context, _line_of_16_bits(every_integer(x), knots), {"knots": knots.astype(np.int16)})


def _line_of_16_bits(value: Int, knots: Int) -> Int:
    """Return the line between knots whose difference TFLite holds in 16 bits, wrapped around."""
    index = STEPS // 2 + (value >> 7)
    slope = (knots[index + 1] - knots[index]).astype(np.int16).astype(np.int64)
    delta = (slope * (value & 0x7F) + 64) >> 7
    result: Int = (knots[index] + delta).astype(np.int16).astype(np.int64)
    return result


def _sqrt(x: QParams, out: QParams) -> Int:
    """Return the root in float32, divided by the output's scale and truncated; what is negative counts as 0."""
    real = _F(x.scale) * np.maximum(every_integer(x) - x.zero_point, 0).astype(_F)
    with np.errstate(over="ignore"):  # what is beyond float32 saturates
        scaled = np.minimum(np.sqrt(real) / _F(out.scale), _F(1 << 30))
    table: Int = np.trunc(scaled).astype(np.int64) + out.zero_point
    return table


def _log32(out: QParams) -> Callable[[Float], Float]:
    """Return the logarithm of float32; what is not positive has the lowest value of the output."""
    lowest = _F(out.dtype.low - out.zero_point) * _F(out.scale)

    def function(x: Float) -> Float:
        return np.where(x > 0, np.log(np.where(x > 0, x, 1).astype(np.float64)).astype(_F), lowest).astype(_F)

    return function


def _rsqrt32(out: QParams) -> Callable[[Float], Float]:
    """Return 1 / sqrt of float32; what is not positive has the highest value of the output."""
    highest = _F(out.dtype.high) * _F(out.scale)

    def function(x: Float) -> Float:
        return np.where(x > 0, _F(1.0) / np.sqrt(np.where(x > 0, x, _F(1.0))), highest).astype(_F)

    return function


def _rsqrt(x: QParams, out: QParams) -> Int:
    """Return the Newton iteration for each integer; 0 (and what is negative) has the highest."""
    real = 1.0 / float(np.sqrt(_F(x.scale)) * _F(out.scale))
    multiplier, exponent = quantize_multiplier(np.array([real]))
    table = []
    for value in (every_integer(x) - x.zero_point).tolist():
        if value <= 0:
            table.append(out.dtype.high)
            continue
        inverse, shift = _inverse_root(value)
        data = multiply_by_quantized_multiplier(1, inverse, shift + _KEPT_BITS)
        scaled = multiply_by_quantized_multiplier(data, multiplier[0], exponent[0] - _KEPT_BITS)
        table.append(int(scaled) + out.zero_point)
    return np.array(table, np.int64)


def _inverse_root(value: int) -> tuple[int, int]:
    """Return (m, e) with 1 / sqrt(value) ~ m * 2**(e - 31), of 1 <= value < 2**29."""
    if value <= 1:
        return (1 << 31) - 1, 0
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    shift = 11 - pairs
    fixed = (value << (2 * pairs)) >> 1
    half = int(rounding_shift(fixed, 1))
    x = _ONE
    for _ in range(_ITERATIONS):
        square = int(high_multiply(x, x))
        cube = int(saturate32(int(high_multiply(square, x)) << 6))
        x = int(saturate32((int(high_multiply(_HALF_THREE, x)) - int(high_multiply(half, cube))) << 3))
    x = int(high_multiply(x, _HALF_ROOT))
    return (x << -shift, 0) if shift < 0 else (x, -shift)
