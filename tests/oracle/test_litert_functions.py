"""Functions of one element against LiteRT's reference kernels, 8 and 16 bits: 0 differing integers on every integer.

The kernels are run three times and have to repeat themselves. Each function is tried on 24 pairs of grids that leave at
least 90 % of the outputs unsaturated, on all integers of the type (its own domain where it has one), the extremes among
them.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from plans import Op, one_op, params, program
from tflite_builder import Tensor, build, run

SETTINGS = 24
_NUMPY = {"s8": "int8", "s16": "int16"}


@dataclass(frozen=True)
class Function:
    """operator, options, fields: TFLite's. reach: of the input. positive: only inputs not below zero."""

    operator: str
    real: object
    options: str = ""
    fields: dict = field(default_factory=dict)
    attrs: dict = field(default_factory=dict)
    reach: tuple[float, float] = (0.3, 12.0)
    positive: bool = False
    op: str = ""
    room: float = 1.02


def gelu(v):
    return v / 2 * np.vectorize(math.erfc)(-v / 2**0.5)


FUNCTIONS = {
    "Gelu": Function("GELU", gelu, "Gelu", {"Approximate": False}, {"approximate": "none"}),
    "Gelu-tanh": Function("GELU", gelu, "Gelu", {"Approximate": True}, {"approximate": "tanh"}),
    "Exp": Function("EXP", np.exp, reach=(0.1, 7.0)),
    "Abs": Function("ABS", np.abs),
}


def grids(rng, function, dtype):
    """Return parameters of input and output: the output's range is that of the function with some room."""
    steps = 32767 if dtype == "s16" else 127
    reach = float(np.exp(rng.uniform(*np.log(function.reach))))
    zero = 0 if dtype == "s16" else int(rng.integers(-90, 91))
    x = params(dtype, reach / steps, -128 if function.positive and dtype == "s8" else zero)
    integers = domain(function, x)
    real = function.real((integers[integers != x.zero_point] - x.zero_point) * x.scale)
    low, high = np.quantile(real, [0.0, 1.0] if not function.positive else [0.02, 0.97])
    if dtype == "s16":
        return x, params(dtype, max(abs(low), abs(high)) * function.room / 32767)
    scale = (max(high, 0) - min(low, 0)) * function.room / 255
    return x, params(dtype, scale, int(np.clip(np.rint(-128 - min(low, 0) / scale), -128, 127)))


def domain(function, x):
    low = x.zero_point if function.positive else x.dtype.low
    return np.arange(low, x.dtype.high + 1, dtype=np.int64)


@pytest.mark.parametrize("dtype", ["s8", "s16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_integer_differs(name, dtype):
    rng = np.random.default_rng(zlib.crc32(repr((name, dtype)).encode()))
    function = FUNCTIONS[name]
    compared = saturated = 0
    for _ in range(SETTINGS):
        x, y = grids(rng, function, dtype)
        integers = domain(function, x).astype(x.dtype.numpy)[None]
        ins = [Tensor("x", integers.shape, _NUMPY[dtype], x.scale, x.zero_point)]
        outs = [Tensor("y", integers.shape, _NUMPY[dtype], y.scale, y.zero_point)]
        model = build(function.operator, ins, outs, function.options, **function.fields)
        expected, *again = (run(model, [integers])[0] for _ in range(3))
        assert all(np.array_equal(expected, item) for item in again)
        op = Op(function.op or name.split("-")[0], ("x",), "y", function.attrs)
        plan = one_op(op, {"x": integers.shape}, integers.shape, {"x": x}, y)
        found = program(plan, "tflite_s64" if dtype == "s16" else "gemmlowp").run({"x": integers})["y"]
        assert np.count_nonzero(found != expected) == 0, (x, y)
        compared += expected.size
        saturated += np.count_nonzero((expected == y.dtype.low) | (expected == y.dtype.high))
    assert saturated <= 0.1 * compared
