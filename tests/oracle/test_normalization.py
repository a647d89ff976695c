"""Normalizations in integers against the scalar recipe (0 differ), float64 (one step) and ONNX Runtime in float."""

from __future__ import annotations

import zlib

import numpy as np
import onnxruntime
import pytest
import scalar_models as scalar
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import Op, one_op, params, program, random_integers

from slimai.graph.save import to_onnx
from slimai.simulator.fixed_point import bit_length, floor_root

DEPTHS = (1, 2, 3, 8, 31, 64, 100, 384, 768, 1025, 4096)
KINDS = ("noise", "extreme", "constant", "one", "lowest")


def seeded(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def rows(rng, grid, depth, kind):
    """Return [4, depth] integers: noise, the two ends of the type, all equal, all equal but one."""
    info = grid.dtype
    if kind == "noise":
        return random_integers(rng, grid, (4, depth))
    if kind == "extreme":
        return rng.choice(np.array([info.low, info.high]), (4, depth)).astype(info.numpy)
    x = np.full((4, depth), info.low if kind == "lowest" else 7, info.numpy)
    if kind != "constant":
        x[:, depth // 2] += 1 if kind == "one" else info.high
    return x


def layer(dtype, depth, epsilon, x_q, y_q, rng):
    constants = {p: (random_integers(rng, params("s16", 1e-4), (depth,)), params("s16", 1e-4)) for p in (1, 2)}
    op = Op("LayerNormalization", ("x",), "y", {"axis": 1, "epsilon": epsilon}, operands=constants)
    return one_op(op, {"x": (1, depth)}, (1, depth), {"x": x_q}, y_q), [
        grid.scale * values.astype(float) for values, grid in constants.values()
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("dtype", ["s8", "u8", "s16"])
def test_every_integer_is_the_scalar_recipe_s_and_one_step_from_float64(dtype, depth, kind):
    """Tolerance 0 and, where the row is not constant, 1 step of float64."""
    rng = seeded(dtype, depth, kind)
    zero = {"s8": int(rng.integers(-128, 128)), "u8": int(rng.integers(0, 256)), "s16": 0}[dtype]
    x_q = params(dtype, float(np.exp(rng.uniform(-9, 1))), zero)
    y_q = params(dtype, (3 + 4 * np.sqrt(depth)) * 2 / (65535 if dtype == "s16" else 255), 100 if dtype == "u8" else 0)
    epsilon = float(rng.choice([1e-5, 1e-12, 1e-3]))
    plan, (gain, bias) = layer(dtype, depth, epsilon, x_q, y_q, rng)
    x = rows(rng, x_q, depth, kind)
    found = program(plan, "single").run({"x": x})["y"]
    ins, outs = scalar.Quantity(x_q), scalar.Quantity(y_q)
    expected = [scalar.normalized(row, ins, gain, bias, epsilon, outs) for row in x.tolist()]
    assert found.tolist() == expected
    real = x_q.scale * (x.astype(float) - zero)
    variance = real.var(axis=1, keepdims=True)
    y = (real - real.mean(axis=1, keepdims=True)) / np.sqrt(variance + epsilon) * gain + bias
    wanted = np.clip(y / y_q.scale + y_q.zero_point, y_q.dtype.low, y_q.dtype.high)
    assert np.abs(found - wanted).max() <= 1.0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_row_scale_and_epsilon(data):
    """Tolerance 0 against Python integers, which know no overflow; a step, and 2^-18 of the gain, against float64."""
    dtype = data.draw(st.sampled_from(["s8", "u8", "s16"]))
    depth = data.draw(st.integers(1, 300))
    x_q = params(dtype, 2.0 ** data.draw(st.floats(-30, 20)), 0)
    y_q = params(dtype, 2.0 ** data.draw(st.floats(-14, 10)), 0)
    epsilon = data.draw(st.sampled_from([0.0, 1e-12, 1e-5, 1e-3, 0.1, 1.0]) | st.floats(1e-9, 10.0))
    info = x_q.dtype
    row = data.draw(st.lists(st.integers(info.low, info.high), min_size=depth, max_size=depth))
    plan, (gain, bias) = layer(dtype, depth, epsilon, x_q, y_q, seeded(depth))
    found = program(plan, "xi_sym").run({"x": np.array([row], info.numpy)})["y"]
    assert found[0].tolist() == scalar.normalized(row, scalar.Quantity(x_q), gain, bias, epsilon, scalar.Quantity(y_q))
    real = x_q.scale * np.array(row, np.float64)
    variance = real.var() + epsilon
    y = (real - real.mean()) / np.sqrt(variance) * gain + bias if variance else np.broadcast_to(bias, real.shape)
    wanted = np.clip(y / y_q.scale + y_q.zero_point, y_q.dtype.low, y_q.dtype.high)
    assert np.all(np.abs(found[0] - wanted) <= 1.0 + 2.0**-18 * np.abs(gain) / y_q.scale)


@pytest.mark.parametrize("dtype", ["s8", "s16"])
@pytest.mark.parametrize("shape", [(3, 17, 64), (2, 5, 384), (4, 768), (2, 3, 4, 50)], ids=str)
def test_onnx_runtime_in_float(shape, dtype):
    """One step, and 1e-5 of the value for what float32 rounds; over 90 % of the outputs are not saturated."""
    rng = seeded(shape, dtype)
    steps, axis = (32767 if dtype == "s16" else 127), len(shape) - 1
    x_q, y_q = params(dtype, 5 / steps), params(dtype, 6 / steps)
    operands = {p: (random_integers(rng, params("s16", 3e-5), shape[-1:]), params("s16", 3e-5)) for p in (1, 2)}
    op = Op("LayerNormalization", ("x",), "y", {"axis": axis, "epsilon": 1e-5}, operands=operands)
    plan = one_op(op, {"x": (1, *shape[1:])}, (1, *shape[1:]), {"x": x_q}, y_q)
    x = x_q.quantize(rng.normal(0, 1.5, shape).astype(np.float32))
    graph = plan.graph.edited(
        plan.graph.nodes,
        constants={
            name: grid.dequantize(values)
            for name, (values, grid) in zip(plan.graph.constants, operands.values(), strict=True)
        },
    )
    session = onnxruntime.InferenceSession(
        to_onnx(graph, batch="N").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (real,) = session.run(None, {"x": x_q.dequantize(x)})
    found = program(plan, "native").run({"x": x})["y"].astype(float)
    assert np.mean(np.abs(found) < steps) >= 0.9
    wanted = np.clip(real / y_q.scale, y_q.dtype.low, y_q.dtype.high)
    assert np.all(np.abs(found - wanted) <= 1.0 + 1e-5 * np.abs(wanted))


@given(st.lists(st.integers(0, 2**62 - 1), min_size=1, max_size=50))
def test_roots_and_lengths_are_those_of_python(values):
    from math import isqrt

    array = np.array(values, np.int64)
    assert floor_root(array).tolist() == [isqrt(value) for value in values]
    assert bit_length(array).tolist() == [value.bit_length() for value in values]


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_roots_beside_squares(offset):
    roots = seeded(0).integers(2, 2**31 - 1, 1000)
    values = roots * roots + offset
    assert floor_root(values).tolist() == (roots - (offset < 0)).tolist()
    edges = np.array([2**b + offset for b in range(3, 62)], np.int64)
    assert bit_length(edges).tolist() == [int(value).bit_length() for value in edges]
