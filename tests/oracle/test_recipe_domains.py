"""Recipes of oracles on parameters that their authors did not think of: near float, or another recipe is taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import Op, one_op, params, program

PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64", "ort_f32")
FUNCTIONS = {
    "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "Tanh": np.tanh,
    "HardSwish": lambda v: v * np.clip(v + 3, 0, 6) / 6,
    "HardSigmoid": lambda v: np.clip(0.2 * v + 0.5, 0, 1),
    "SiLU": lambda v: v / (1 + np.exp(-v)),
    "Mish": lambda v: v * np.tanh(np.logaddexp(v, 0)),
    "LeakyRelu": lambda v: np.where(v >= 0, v, 0.1 * v),
    "Elu": lambda v: np.where(v >= 0, v, 0.7 * np.expm1(np.minimum(v, 0))),
    "Selu": lambda v: 1.1 * np.where(v >= 0, v, 1.6 * np.expm1(np.minimum(v, 0))),
    "Celu": lambda v: np.where(v >= 0, v, 0.7 * np.expm1(np.minimum(v, 0) / 0.7)),
    "Gelu": lambda v: v / 2 * np.vectorize(math.erfc)(-v / 2**0.5),
    "Erf": np.vectorize(math.erf),
    "Softplus": lambda v: np.logaddexp(v, 0),
    "Softsign": lambda v: v / (1 + np.abs(v)),
    "Abs": np.abs,
    "Neg": np.negative,
}
ATTRS = {
    "Elu": {"alpha": 0.7}, "Selu": {"alpha": 1.6, "gamma": 1.1}, "Celu": {"alpha": 0.7},
    "Gelu": {"approximate": "none"},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "LeakyRelu": {"alpha": 0.1},
}  # fmt: skip
# Steps of the output. HardSwish of TFLite works in 16 bits whose unit follows the input's scale; its s16 sigmoid is
# a line between 256 knots.
STEPS = {"HardSwish": 3.0, "LeakyRelu": 1.51, "Abs": 1.51, "Neg": 1.51}
WIDE_STEPS = {"Sigmoid": 16.0, "Tanh": 32.0, "LeakyRelu": 3.0, "Abs": 1.51, "Neg": 1.51}

scales = st.floats(-14, 2).map(lambda exponent: float(np.float32(10.0**exponent)))


@st.composite
def grids(draw):
    """Return a type, and parameters of an input and an output of that type."""
    dtype = draw(st.sampled_from(["s8", "u8", "s16"]))
    zero = st.sampled_from([0] if dtype == "s16" else [-128, -3, 0] if dtype == "s8" else [0, 128])
    return params(dtype, draw(scales), draw(zero)), params(dtype, draw(scales), draw(zero))


def line_error(function, x, y, integers):
    """Return how far, in steps of y, lines between 513 knots may be from a function at 16-bit integers.

    That is the distance of the chord in the range of y, and what both knots are lowered by; TFLite has the knots up to
    half a step of x beside their places; 2.5 for rounding.
    """
    step = 65535 / 512 * x.scale
    knots = -32768 * x.scale + np.arange(513) * step
    with np.errstate(over="ignore"):
        at, middle = function(knots) / y.scale, function(knots[:-1] + step / 2) / y.scale
        real = np.clip(function(integers * x.scale) / y.scale, -32768, 32767)
    lowered = np.abs((at[1:] + at[:-1]) / 2 - middle) / 2
    place = 256 + (integers >> 7)
    clipped = np.clip(at, -32768, 32767)
    chord = clipped[place] + (clipped[place + 1] - clipped[place]) * (integers & 127) / 128
    with np.errstate(over="ignore"):
        beside = np.abs(function((integers + 1) * x.scale) - function((integers - 1) * x.scale)) / y.scale
    return 2.5 + np.minimum(beside, 65536) + np.abs(real - chord) + lowered[place] + lowered[np.minimum(place + 1, 511)]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), grids(), st.sampled_from(PRESETS))
def test_pointwise(op, grid, preset):
    x, y = grid
    # the exact multipliers of the two-step recipes are 31 bits wide and vanish below 2**-32
    if op in ("LeakyRelu", "Abs", "Neg") and not 2.0**-20 < x.scale / y.scale < 2.0**15:
        return
    integers = np.linspace(x.dtype.low, x.dtype.high, 511).astype(x.dtype.numpy).reshape(1, -1)
    plan = one_op(Op(op, ("x",), "y", ATTRS.get(op, {})), {"x": integers.shape}, integers.shape, {"x": x}, y)
    with np.errstate(over="ignore"):
        real = FUNCTIONS[op](x.dequantize(integers).astype(np.float64))
    wanted = np.clip(real / y.scale + y.zero_point, y.dtype.low, y.dtype.high)
    found = program(plan, preset).run({"x": integers})["y"]
    steps = WIDE_STEPS.get(op, 1.0) if x.dtype.bits == 16 else STEPS.get(op, 1.0)
    if x.dtype.bits == 16 and preset != "ort_f32" and op not in ("Abs", "Neg"):
        steps = steps + line_error(FUNCTIONS[op], x, y, integers.astype(np.int64))
    assert (np.abs(found - wanted) <= steps).all()


STEEP = {
    "Sqrt": ({}, np.sqrt),
    "Rsqrt": ({}, lambda v: v**-0.5),
    "Reciprocal": ({}, lambda v: 1 / v),
    "Log": ({}, np.log),
    **{
        f"Pow {exponent}": ({"exponent": exponent}, lambda v, p=exponent: v**p)
        for exponent in (-2.0, -1.5, 0.25, 1.5, 2.0, 3.0)
    },
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(STEEP)), grids(), st.sampled_from(PRESETS))
def test_steep_functions(name, grid, preset):
    """At most 2 steps off of 16 bits, 1 of 8; logarithms on grids of 2**-20 and above."""
    x, y = grid
    if name == "Log" and y.scale < 2.0**-20:
        return
    attrs, function = STEEP[name]
    whole = np.arange(x.dtype.low, x.dtype.high + 1)
    integers = whole[whole > x.zero_point].astype(x.dtype.numpy).reshape(1, -1)
    plan = one_op(Op(name.split(" ")[0], ("x",), "y", attrs), {"x": integers.shape}, integers.shape, {"x": x}, y)
    real = function((integers.astype(np.float64) - x.zero_point) * x.scale)
    wanted = np.clip(real / y.scale + y.zero_point, y.dtype.low, y.dtype.high)
    found = program(plan, preset).run({"x": integers})["y"]
    assert np.abs(found - wanted).max() <= (2.0 if x.dtype.bits == 16 else 1.0)


@settings(max_examples=150, deadline=None)
@given(grids(), st.sampled_from([1, 2, 10, 300]), st.sampled_from([1.0, 0.995, 0.5, 3.0]), st.sampled_from(PRESETS))
def test_softmax(grid, depth, unit, preset):
    """Output scales are the fixed one and others, as edited limits and files of other tools have them."""
    x, y = grid
    bits = x.dtype.bits
    zero = y.dtype.low if y.dtype.low in (0, y.zero_point) else 0
    y = params(y.dtype.name, unit * (2.0**-8 if bits == 8 and zero == y.dtype.low else 2.0 ** -(bits - 1)), zero)
    rng = np.random.default_rng(3)
    integers = rng.integers(x.dtype.low, x.dtype.high + 1, (7, depth)).astype(x.dtype.numpy)
    plan = one_op(Op("Softmax", ("x",), "y", {"axis": 1}), {"x": (1, depth)}, (1, depth), {"x": x}, y)
    real = x.dequantize(integers).astype(np.float64)
    powers = np.exp(real - real.max(axis=1, keepdims=True))
    wanted = np.clip(powers / powers.sum(axis=1, keepdims=True) / y.scale + y.zero_point, y.dtype.low, y.dtype.high)
    found = program(plan, preset).run({"x": integers})["y"]
    steps = 1.5
    assert np.abs(found - wanted).max() <= steps


@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("scale", [1e-4, 1e-3, 1.0])
def test_softmax_of_16_bits_under_ort_f32(depth, scale):
    """QLinearSoftmax is a formula of 8 bits; at 16 ONNX Runtime dequantizes, and so does the recipe: within a step."""
    x, y = params("s16", scale), params("s16", 2.0**-15)
    integers = np.random.default_rng(1).integers(-32768, 32768, (50, depth)).astype(np.int16)
    plan = one_op(Op("Softmax", ("x",), "y", {"axis": 1}), {"x": (1, depth)}, (1, depth), {"x": x}, y)
    real = integers.astype(np.float64) * x.scale
    powers = np.exp(real - real.max(axis=1, keepdims=True))
    wanted = np.minimum(powers / powers.sum(axis=1, keepdims=True) / y.scale, 32767)
    assert np.abs(program(plan, "ort_f32").run({"x": integers})["y"] - wanted).max() <= 0.51
