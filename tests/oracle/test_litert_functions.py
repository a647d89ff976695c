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
from plans import Op, one_op, params, program, random_integers
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
    "Sqrt": Function("SQRT", np.sqrt, attrs={"as_tflite": 1}, positive=True),
    "Rsqrt": Function("RSQRT", lambda v: v**-0.5, attrs={"as_tflite": 1}, positive=True),
    "Log": Function("LOG", np.log, attrs={"as_tflite": 1}, positive=True),
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


SHAPES = [((1, 5, 6, 7), second) for second in ((1, 5, 6, 7), (1, 1, 1, 7), (1, 5, 1, 1), (7,), (1, 1, 6, 1), (1,))]


@pytest.mark.parametrize("dtype", ["s8", "s16"])
@pytest.mark.parametrize("op", ["Max", "Min"])
def test_no_integer_of_the_larger_or_smaller_differs(op, dtype):
    """24 pairs of shapes and grids, extremes in both operands; TFLite's kernels want one grid for all."""
    rng = np.random.default_rng(zlib.crc32(repr((op, dtype)).encode()))
    for first, second in SHAPES * 4:
        grid = params(dtype, float(np.exp(rng.uniform(-9, -2))), 0 if dtype == "s16" else int(rng.integers(-90, 91)))
        a, b = random_integers(rng, grid, first), random_integers(rng, grid, second)
        a.flat[:2] = grid.dtype.low, grid.dtype.high
        if b.size > 20:
            b.flat[:2] = grid.dtype.high, grid.dtype.low
        tensors = [
            Tensor(name, shape, _NUMPY[dtype], grid.scale, grid.zero_point)
            for name, shape in (("a", first), ("b", second), ("y", first))
        ]
        model = build({"Max": "MAXIMUM", "Min": "MINIMUM"}[op], tensors[:2], tensors[2:], "MaximumMinimum")
        expected = run(model, [a, b])[0]
        plan = one_op(Op(op, ("a", "b"), "y"), {"a": first, "b": second}, first, {"a": grid, "b": grid}, grid)
        (step,) = program(plan, "tflite_s64" if dtype == "s16" else "gemmlowp").steps
        found = step.compiled.kernel([a, b], None)[0]
        assert np.count_nonzero(found != expected) == 0
        ends = (expected == grid.dtype.low) | (expected == grid.dtype.high)
        assert np.count_nonzero(ends) <= 0.1 * expected.size


def squared_difference(rng, first, second, kinds):
    """Return grids, operands and LiteRT's integers of one pair of shapes; most of the output is not at its ends."""
    a_q, b_q = (params(kind, float(np.exp(rng.uniform(-9, -2))), int(rng.integers(-90, 91))) for kind in kinds[:2])
    a, b = random_integers(rng, a_q, first), random_integers(rng, b_q, second)
    a.flat[:2] = a_q.dtype.low, a_q.dtype.high
    real = np.square(a_q.scale * (a.astype(float) - a_q.zero_point) - b_q.scale * (b.astype(float) - b_q.zero_point))
    y_q = params(kinds[2], float(np.quantile(real, 0.97)) / 255, int(rng.integers(-128, -90)))
    tensors = [
        Tensor(name, shape, _NUMPY[q.dtype.name], q.scale, q.zero_point)
        for name, shape, q in (("a", first, a_q), ("b", second, b_q), ("y", first, y_q))
    ]
    model = build("SQUARED_DIFFERENCE", tensors[:2], tensors[2:], "SquaredDifference")
    return (a_q, b_q, y_q), (a, b), model


def test_no_integer_of_a_squared_difference_differs():
    """48 pairs of shapes and grids; the two scales are up to e^7 apart."""
    rng = np.random.default_rng(11)
    compared = saturated = 0
    for first, second in SHAPES * 8:
        (a_q, b_q, y_q), (a, b), model = squared_difference(rng, first, second, ("s8", "s8", "s8"))
        expected, *again = (run(model, [a, b])[0] for _ in range(3))
        assert all(np.array_equal(expected, item) for item in again)
        plan = one_op(Op("SquaredDifference", ("a", "b"), "y"), {"a": first, "b": second}, first,
                      {"a": a_q, "b": b_q}, y_q)  # fmt: skip
        (step,) = program(plan, "gemmlowp").steps
        found = step.compiled.kernel([a, b], None)[0]
        assert np.count_nonzero(found != expected) == 0
        compared += expected.size
        saturated += np.count_nonzero((expected == -128) | (expected == 127))
    assert saturated <= 0.2 * compared, "a broadcast operand lays many outputs at one place"
