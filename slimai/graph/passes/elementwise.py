"""Operators of one element in float64, by which rewrites learn what function a few nodes compute together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import erf, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Node

Values = NDArray[np.float64]
Operands = Sequence[Values]
Formula = Callable[[Mapping[str, Any], Operands], Values]

_erf = np.frompyfunc(erf, 1, 1)


def error_function(x: Values) -> Values:
    """Return the error function of each element."""
    found: Values = np.asarray(_erf(x), dtype=np.float64)
    return found


def sigmoid(x: Values) -> Values:
    """Return 1 / (1 + exp(-x)) of each element, without overflow."""
    found: Values = 0.5 * (1.0 + np.tanh(0.5 * x))
    return found


def softplus(x: Values) -> Values:
    """Return log(1 + exp(x)) of each element, without overflow."""
    found: Values = np.logaddexp(0.0, x)
    return found


def silu(x: Values) -> Values:
    """Return x sigmoid(x) of each element."""
    return x * sigmoid(x)


def mish(x: Values) -> Values:
    """Return x tanh(softplus(x)) of each element."""
    found: Values = x * np.tanh(softplus(x))
    return found


def hard_swish(x: Values) -> Values:
    """Return x clip(x / 6 + 1 / 2, 0, 1) of each element."""
    found: Values = x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)
    return found


def gelu(x: Values) -> Values:
    """Return x (1 + erf(x / sqrt 2)) / 2 of each element."""
    return 0.5 * x * (1.0 + error_function(x * sqrt(0.5)))


def gelu_tanh(x: Values) -> Values:
    """Return x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 of each element."""
    found: Values = 0.5 * x * (1.0 + np.tanh(sqrt(2.0 / pi) * (x + 0.044715 * x**3)))
    return found


def _one(function: Callable[[Values], Any]) -> Formula:
    return lambda _attrs, operands: function(operands[0])


def _two(function: Callable[[Values, Values], Any]) -> Formula:
    return lambda _attrs, operands: function(operands[0], operands[1])


def _elu(attrs: Mapping[str, Any], operands: Operands) -> Values:
    x = operands[0]
    return np.where(x < 0, attrs["alpha"] * np.expm1(np.minimum(x, 0.0)), x)


def _gelu(attrs: Mapping[str, Any], operands: Operands) -> Values:
    return (gelu_tanh if attrs.get("approximate", "none") == "tanh" else gelu)(operands[0])


def _extreme(function: np.ufunc) -> Formula:
    return lambda _attrs, operands: function.reduce(np.broadcast_arrays(*operands))


# In the canonical forms of `slimai.graph.ops`, and ONNX's own form of the names that it does not know.
FORMULAS: Mapping[str, Formula] = {
    "Add": _two(np.add),
    "Sub": _two(np.subtract),
    "Mul": _two(np.multiply),
    "Div": _two(np.divide),
    "Pow": lambda attrs, operands: np.power(operands[0], attrs["exponent"]),
    "Max": _extreme(np.maximum),
    "Min": _extreme(np.minimum),
    "Neg": _one(np.negative),
    "Abs": _one(np.abs),
    "Sqrt": _one(np.sqrt),
    "Reciprocal": _one(np.reciprocal),
    "Rsqrt": _one(lambda x: 1.0 / np.sqrt(x)),
    "Exp": _one(np.exp),
    "Log": _one(np.log),
    "Erf": _one(error_function),
    "Tanh": _one(np.tanh),
    "Sigmoid": _one(sigmoid),
    "Softplus": _one(softplus),
    "Relu": _one(lambda x: np.maximum(x, 0.0)),
    "Clip": lambda attrs, operands: np.clip(operands[0], attrs["lo"], attrs["hi"]),
    "HardSigmoid": lambda attrs, operands: np.clip(attrs["alpha"] * operands[0] + attrs["beta"], 0.0, 1.0),
    "HardSwish": _one(hard_swish),
    "SiLU": _one(silu),
    "Mish": _one(mish),
    "Elu": _elu,
    "LeakyRelu": lambda attrs, operands: np.where(operands[0] < 0, attrs["alpha"] * operands[0], operands[0]),
    "Gelu": _gelu,
}


def has_formula(node: Node) -> bool:
    """Return whether the node is one function of an element for all channels, with a formula here."""
    return not node.domain and node.op in FORMULAS and not isinstance(node.attrs.get("hi"), tuple)
