"""TFLite's reference recipes of pointwise functions, tabulated over every integer of the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import (
    Int,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    round_half_away,
    rounding_shift,
)
from slimai.simulator.lookup import every_integer
from slimai.simulator.ops.c_library import erfc32, exp32, tanh32

Float = NDArray[np.float32]


def tflite_table(context: LayerContext) -> Int | None:
    """Return the table of TFLite's own recipe, or None where TFLite has none (the ideal table is used then)."""
    op, x, out = context.layer.node.op, context.input(), context.out
    if op == "LeakyRelu" and context.attrs["alpha"] >= 0:
        return leaky_relu(x, out, float(context.attrs["alpha"]))
    if x.dtype.bits == 8 and op in _FLOAT32:
        return _float_table(x, out, _FLOAT32[op])
    if x.dtype.bits == 8 and op in FLOAT32_KNOTS:
        return _float_table(x, out, FLOAT32_KNOTS[op](context.attrs))
    if x.dtype.bits == 8 and op == "HardSwish" and _hires(x) < np.float32(out.scale):  # TFLite's shift is to the right
        return hard_swish(x, out)
    if x.dtype.bits == 16 and op in {"Sigmoid", "Tanh"} and out.scale == 2.0**-15 and not out.zero_point:
        return sigmoid16(x) if op == "Sigmoid" else tanh16(x)
    return None


def _sigmoid32(x: Float) -> Float:
    one = np.float32(1.0)
    with np.errstate(over="ignore"):  # an exponential beyond float32 is infinite there too, and the result 0
        return (one / (one + np.exp(-x.astype(np.float64)).astype(np.float32))).astype(np.float32)


def _tanh32(x: Float) -> Float:
    return np.tanh(x.astype(np.float64)).astype(np.float32)


_FLOAT32: dict[str, Callable[[Float], Float]] = {"Sigmoid": _sigmoid32, "Tanh": _tanh32}


def _gelu32(attrs: Mapping[str, Any]) -> Callable[[Float], Float]:
    """Return x / 2 * erfc(-x / sqrt 2), or x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x x x))), all in float32."""
    single = np.float32
    if attrs["approximate"] == "tanh":
        unit, cubic, one = single(math.sqrt(2.0 / math.pi)), single(0.044715), single(1.0)
        return lambda x: single(0.5) * x * (one + tanh32(unit * (x + cubic * x * x * x)))
    return lambda x: single(0.5) * x * erfc32(x * single(-math.sqrt(0.5)))


# Functions that TFLite looks up at 8 and 16 bits: attributes -> function of float32.
FLOAT32_KNOTS: dict[str, Callable[[Mapping[str, Any]], Callable[[Float], Float]]] = {
    "Gelu": _gelu32,
    "Exp": lambda _attrs: exp32,
}


def _float_table(x: QParams, out: QParams, function: Callable[[Float], Float]) -> Int:
    """round_half_away(f(s_x * (i - z_x)) * (1 / s_y)) + z_y, all in float32."""
    real = np.float32(x.scale) * (every_integer(x) - x.zero_point).astype(np.float32)
    with np.errstate(over="ignore"):  # what is beyond float32 saturates
        rescaled = round_half_away(function(real) * (np.float32(1.0) / np.float32(out.scale)))
    table: Int = np.clip(rescaled + out.zero_point, out.dtype.low, out.dtype.high).astype(np.int64)
    return table


def concat_table(x: QParams, out: QParams) -> Int:
    """round_half_away(i * k - z_x * k) + z_y with k = s_x * (1 / s_y), all in float32 (uint8 concatenation)."""
    single = np.float32
    factor = single(x.scale) * (single(1.0) / single(out.scale))
    shifted = every_integer(x).astype(single) * factor + single(-x.zero_point) * factor
    table: Int = np.clip(round_half_away(shifted) + out.zero_point, out.dtype.low, out.dtype.high).astype(np.int64)
    return table


def leaky_relu(x: QParams, out: QParams, alpha: float) -> Int:
    """Two multipliers, s_x / s_y and s_x * alpha / s_y (float32), with the two-step rounding."""
    single = np.float32
    identity = quantize_multiplier(np.array([single(x.scale) / single(out.scale)], np.float64))
    slope = quantize_multiplier(np.array([single(x.scale) * single(alpha) / single(out.scale)], np.float64))
    values = every_integer(x) - x.zero_point
    positive = multiply_by_quantized_multiplier(values, *identity)
    negative = multiply_by_quantized_multiplier(values, *slope)
    return np.where(values >= 0, positive, negative) + out.zero_point


def _saturate16(value: Int) -> Int:
    return np.clip(value, -(1 << 15), (1 << 15) - 1)


def _high16(a: Int, b: Int) -> Int:
    """Saturating rounding doubling high multiply of s16: half up."""
    return _saturate16((a * b + (1 << 14)) >> 15)


def _short(real: np.float32) -> tuple[Int, int]:
    """Return the 16-bit multiplier and the exponent of a real multiplier."""
    q31, exponent = quantize_multiplier(np.array([real], np.float64))
    return np.where(q31 >= (1 << 31) - 1 - (1 << 15), (1 << 15) - 1, (q31 + (1 << 15)) >> 16), int(exponent[0])


def _hires(x: QParams) -> np.float32:
    """Return the scale of the input shifted left by 7, which HardSwish computes in."""
    return np.float32(np.float32(1.0 / 128.0) * np.float32(x.scale))


def hard_swish(x: QParams, out: QParams) -> Int:
    """X * relu6(x + 3) / 6 in 16-bit fixed point, as TFLite's reference kernel composes it."""
    hires = _hires(x)
    out_multiplier, out_exponent = _short(hires / np.float32(out.scale))
    reluish_multiplier, reluish_exponent = _short(hires / np.float32(3.0 / 32768.0))
    value = (every_integer(x) - x.zero_point) << 7
    preshift = _high16(value, out_multiplier)
    reluish = value
    if reluish_exponent > 0:
        reluish = _saturate16(reluish << (reluish_exponent - 1))
    reluish = _high16(reluish, reluish_multiplier)
    if reluish_exponent > 0:
        reluish = _saturate16(reluish << 1)
    elif reluish_exponent < 0:
        reluish = rounding_shift(reluish, -reluish_exponent)
    reluish = (reluish + (1 << 15)) >> 1
    product = reluish * preshift
    truncated = np.sign(product) * (np.abs(product) >> 15)
    return rounding_shift(truncated, -out_exponent) + out.zero_point


def sigmoid_steps() -> Int:
    """Return the knots of sigmoid(i / 24) in 0.16 fixed point, [256], that TFLite interpolates at 16 bits.

    Knot i is rint(65536 * (f - f'' / (16 * 24**2))) of f = sigmoid(i / 24): lifted by half of the largest
    error of a straight line between two points of the curve. The last knot is 65535.
    """
    f = 1.0 / (1.0 + np.exp(-np.arange(256) / 24.0))
    curvature = f * (1.0 - f) * (1.0 - 2.0 * f) / 24.0**2
    knots = np.rint(65536.0 * (f - curvature / 16.0)).astype(np.int64)
    knots[-1] = 65535
    return knots


def _scaled_input(x: QParams, power_shifts: tuple[int, ...]) -> Int:
    """Return 3 * 4096 * real rounded half up: the input at 1/12288, from s16 integers."""
    log2 = np.log2(x.scale)
    left = 12 + int(round_half_away(log2))
    values = every_integer(x)
    if abs(log2 - round_half_away(log2)) < 1e-3 and left in power_shifts:
        return values * (3 << left)
    multiplier, shift = float(np.float32(x.scale)) * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        shift, multiplier = shift + 1, multiplier * 2.0
    half = (1 << (shift - 1)) if shift else 0
    return (values * int(multiplier) + half) >> shift


def sigmoid16(x: QParams) -> Int:
    """Sigmoid of s16 by linear interpolation between 256 knots, output scale 2**-15."""
    return sigmoid_of_scaled(_scaled_input(x, (0,)))


def sigmoid_of_scaled(scaled: Int) -> Int:
    """Sigmoid of integers at 1 / 12288, output scale 2**-15."""
    knots = sigmoid_steps()
    place, part = np.abs(scaled) >> 9, np.abs(scaled) & 0x1FF
    at = np.minimum(place, 254)
    result = np.where(place >= 255, 0x7FFF << 10, (knots[at] << 9) + part * (knots[at + 1] - knots[at]))
    return np.where(scaled >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1) >> 10


def tanh16(x: QParams) -> Int:
    """Tanh of s16 as 2 * sigmoid(2 x) - 1 from the same knots, output scale 2**-15."""
    return tanh_of_scaled(_scaled_input(x, (0, 1)))


def tanh_of_scaled(scaled: Int) -> Int:
    """Tanh of integers at 1 / 12288, output scale 2**-15."""
    knots = sigmoid_steps()
    place, part = np.abs(scaled) >> 8, np.abs(scaled) & 0xFF
    at = np.minimum(place, 254)
    result = np.where(place >= 255, 0xFFFF << 8, (knots[at] << 8) + part * (knots[at + 1] - knots[at]))
    half = 1 << 23
    return np.where(scaled >= 0, result - half + (1 << 7), half - result + (1 << 7) - 1) >> 8
