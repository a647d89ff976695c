"""Functions of one element: a table over every 8-bit integer, knots and lines between them for 16-bit ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.context import Compiled, LayerContext
from slimai.simulator.lookup import every_integer, table_layer
from slimai.simulator.ops.knots import knot_layer
from slimai.simulator.ops.tflite_tables import FLOAT32_KNOTS, tflite_table

Real = NDArray[Any]
Function = Callable[[Real, Mapping[str, Any]], Real]


def _sigmoid(x: Real, _attrs: Mapping[str, Any]) -> Real:
    value: Real = 1.0 / (1.0 + np.exp(np.minimum(-x, 700.0)))
    return value


def _softplus(x: Real) -> Real:
    value: Real = np.logaddexp(x, 0.0)
    return value


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_LARGEST_EXPONENT = 87.0  # e^87 is still a float32


def _gelu(x: Real, attrs: Mapping[str, Any]) -> Real:
    """Return x / 2 * erfc(-x / sqrt 2), or x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    if attrs["approximate"] == "tanh":
        value: Real = 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    else:
        value = 0.5 * x * _erfc(-x * math.sqrt(0.5))
    return value


def _celu(x: Real, attrs: Mapping[str, Any]) -> Real:
    alpha = attrs["alpha"]
    value: Real = np.maximum(x, 0.0) + np.minimum(alpha * np.expm1(np.minimum(x / alpha, _LARGEST_EXPONENT)), 0.0)
    return value


FUNCTIONS: dict[str, Function] = {
    "Sigmoid": _sigmoid,
    "Tanh": lambda x, _attrs: np.tanh(x),
    "HardSigmoid": lambda x, attrs: np.clip(attrs["alpha"] * x + attrs["beta"], 0.0, 1.0),
    "HardSwish": lambda x, _attrs: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    "SiLU": lambda x, attrs: x * _sigmoid(x, attrs),
    "Mish": lambda x, _attrs: x * np.tanh(_softplus(x)),
    "Elu": lambda x, attrs: np.where(x >= 0, x, attrs["alpha"] * np.expm1(np.minimum(x, 0.0))),
    "Selu": lambda x, attrs: attrs["gamma"] * np.where(x >= 0, x, attrs["alpha"] * np.expm1(np.minimum(x, 0.0))),
    "Celu": _celu,
    "Gelu": _gelu,
    "Erf": lambda x, _attrs: _erf(x),
    "Exp": lambda x, _attrs: np.exp(np.clip(x, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)),
    "Softplus": lambda x, _attrs: _softplus(x),
    "Softsign": lambda x, _attrs: x / (1.0 + np.abs(x)),
    "LeakyRelu": lambda x, attrs: np.where(x >= 0, x, attrs["alpha"] * x),
}


def compile_table(context: LayerContext) -> Compiled:
    """Return the kernel of a function of one element."""
    if context.rule.recipe == "tflite":
        values = tflite_table(context)
        if values is not None:
            return table_layer(context, values)
    if context.rule.recipe == "ort":
        return table_layer(context, float32_table(context))
    if context.input().dtype.bits == 8:
        return table_layer(context, ideal_table(context))
    op, attrs = context.layer.node.op, context.attrs
    if context.rule.recipe == "tflite" and op in FLOAT32_KNOTS and context.out.dtype.bits > 8:
        return knot_layer(context, FLOAT32_KNOTS[op](attrs), np.float32)
    return knot_layer(context, lambda x: FUNCTIONS[op](x, attrs))


def ideal_table(context: LayerContext) -> NDArray[np.int64]:
    """Return zero_point + round_half_even(f(dequantize(i)) / s) in float64 for every input integer i."""
    x, out = context.input(), context.out
    real = (every_integer(x) - x.zero_point) * x.scale
    value = FUNCTIONS[context.layer.node.op](real, context.attrs)
    table: NDArray[np.int64] = np.clip(
        np.rint(value / out.scale) + out.zero_point, out.dtype.low, out.dtype.high
    ).astype(np.int64)
    return table


def float32_table(context: LayerContext) -> NDArray[np.int64]:
    """Return what ONNX Runtime tabulates: dequantize, function and quantize in float32, half to even.

    The function itself is taken in float64 and rounded to float32.
    """
    x, out = context.input(), context.out
    real = (every_integer(x) - x.zero_point).astype(np.float32) * np.float32(x.scale)
    op = context.layer.node.op
    if op == "LeakyRelu":
        value = np.where(real >= 0, real, np.float32(context.attrs["alpha"]) * real)
    else:
        value = FUNCTIONS[op](real.astype(np.float64), context.attrs).astype(np.float32)
    integers = np.rint(value / np.float32(out.scale)) + np.float32(out.zero_point)
    table: NDArray[np.int64] = np.clip(integers, out.dtype.low, out.dtype.high).astype(np.int64)
    return table
