"""Functions of one element: a table over every 8-bit integer, knots and lines between them for 16-bit ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.context import Compiled, LayerContext
from slimai.simulator.lookup import every_integer, table_layer
from slimai.simulator.ops.focus import focused
from slimai.simulator.ops.knots import interpolate, knots_of
from slimai.simulator.ops.normalised import Logarithm, Power, signed_power
from slimai.simulator.ops.tflite_roots import TFLITE_ROOTS, tflite_root
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


_ENDLESS = 1e38  # saturates, and is a float32


def _power(x: Real, exponent: float) -> Real:
    """Return x**exponent; 0 has the limit from above, and so have negative x where the exponent is no integer."""
    base = x if float(exponent).is_integer() else np.maximum(x, 0.0)
    with np.errstate(over="ignore"):
        value = np.power(np.where(base == 0, 1.0, base), exponent)
    limited: Real = np.clip(np.where(base == 0, 0.0 if exponent > 0 else _ENDLESS, value), -_ENDLESS, _ENDLESS)
    return limited


FINER_BITS = 7  # of the knots of an 8-bit output: all its values times 2**7 fit 16 bits
EXPONENTS: dict[str, float] = {"Sqrt": 0.5, "Rsqrt": -0.5, "Reciprocal": -1.0}

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
    "Pow": lambda x, attrs: _power(x, attrs["exponent"]),
    **{op: lambda x, _attrs, p=power: _power(x, p) for op, power in EXPONENTS.items()},  # type: ignore[misc]
    "Log": lambda x, _attrs: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), -_ENDLESS),
    "LeakyRelu": lambda x, attrs: np.where(x >= 0, x, attrs["alpha"] * x),
}


def compile_table(context: LayerContext) -> Compiled:
    """Return the kernel of a function of one element."""
    tflite = context.rule.recipe == "tflite"
    if tflite and context.layer.node.op in TFLITE_ROOTS and context.attrs.get("as_tflite", 0):
        return tflite_root(context)
    values = tflite_table(context) if tflite else None
    if values is None and context.rule.recipe == "ort":
        values = float32_table(context)
    if values is None and context.input().dtype.bits == 8:
        values = ideal_table(context)
    return _wide_layer(context) if values is None else table_layer(context, values)


def _wide_layer(context: LayerContext) -> Compiled:
    """Return the layer of a 16-bit input that needs no table of all its integers."""
    op, attrs = context.layer.node.op, context.attrs
    if op in {"Log", "Pow", *EXPONENTS}:
        return _normalised_layer(context)
    stored = context.rule.recipe == "tflite" and bool(attrs.get("as_tflite", 0))
    if stored and op in FLOAT32_KNOTS and context.out.dtype.bits > 8:
        knots = knots_of(FLOAT32_KNOTS[op](attrs), context.input(), context.out.scale, np.float32)
        return table_layer(
            context, interpolate(every_integer(context.input()), knots), {"knots": knots.astype(np.int16)}
        )
    return _knot_layer(context, lambda x: FUNCTIONS[op](x, attrs))


def _knot_layer(context: LayerContext, function: Callable[[Real], Real]) -> Compiled:
    """Return the layer of a smooth function of a 16-bit input.

    An 8-bit output is interpolated in 1/128 of its step and rounded half up.
    """
    x, out = context.input(), context.out
    narrow = out.dtype.bits == 8
    found = focused(function, x.scale, out.scale / (1 << FINER_BITS) if narrow else out.scale)
    values = found(every_integer(x))
    if narrow:
        values = ((values + (1 << (FINER_BITS - 1))) >> FINER_BITS) + out.zero_point
    return table_layer(context, values, found.tables())


def _normalised_layer(context: LayerContext) -> Compiled:
    """Return the layer of a steep function of a 16-bit input."""
    x, out, op = context.input(), context.out, context.layer.node.op
    values = every_integer(x) - x.zero_point
    if op == "Log":
        logarithm = Logarithm.of(x.scale, out.scale)
        return table_layer(context, logarithm(values) + out.zero_point, logarithm.tables())
    exponent = EXPONENTS[op] if op in EXPONENTS else float(context.attrs["exponent"])
    with np.errstate(over="ignore", under="ignore"):
        power = Power.of(exponent, float(np.float64(x.scale) ** exponent / out.scale))
    return table_layer(context, signed_power(values, exponent, power) + out.zero_point, power.tables())


def ideal_table(context: LayerContext) -> NDArray[np.int64]:
    """Return zero_point + round_half_even(f(dequantize(i)) / s) in float64 for every input integer i."""
    x, out = context.input(), context.out
    real = (every_integer(x) - x.zero_point) * x.scale
    with np.errstate(over="ignore"):  # what is beyond float64 saturates
        value = FUNCTIONS[context.layer.node.op](real, context.attrs) / out.scale
    table: NDArray[np.int64] = np.clip(np.rint(value) + out.zero_point, out.dtype.low, out.dtype.high).astype(np.int64)
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
    with np.errstate(over="ignore"):  # what is beyond float32 saturates
        integers = np.rint(value / np.float32(out.scale)) + np.float32(out.zero_point)
    table: NDArray[np.int64] = np.clip(integers, out.dtype.low, out.dtype.high).astype(np.int64)
    return table
