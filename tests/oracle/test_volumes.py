"""Layers over three axes of space: ONNX Runtime's float operators on the integers give the exact sums (below 2^24).

The sums then go through the scalar requantization of the rule: 0 integers differ.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import scalar_models as scalar
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from plans import Op, one_op, params, program, random_integers

from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight
from slimai.simulator.requantize import PRESETS

generated = settings(max_examples=5, deadline=None)
RULES = ("xi_sym", "single")
triple = st.tuples(*[st.integers(1, 2)] * 3)


def run(op, feeds, constants, attrs):
    """Return what ONNX Runtime computes of float32 arrays."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, feeds.shape)]
    names = ["x", *constants]
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    node = helper.make_node(op, names, ["y"], **attrs)
    graph = helper.make_graph(
        [node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": feeds.astype(np.float32)})[0]


def geometry(data, size):
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * 3))
    strides, dilations = data.draw(triple), data.draw(triple)
    pads = tuple(data.draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    whole = [n + near + far for n, near, far in zip(size, pads[:3], pads[3:], strict=True)]
    dilations = tuple(d if (k - 1) * d < n else 1 for k, d, n in zip(kernel, dilations, whole, strict=True))
    return kernel, {"strides": strides, "dilations": dilations, "pads": pads}


def checked(op, rng, rule, data, *, transposed):
    group, share = data.draw(st.sampled_from([(1, 3), (2, 2), (3, 1)]))
    channels, outputs, size = group * share, group * data.draw(st.integers(1, 2)), (3, 5, 4)
    kernel, attrs = geometry(data, size)
    attrs = {**attrs, "group": group}
    if transposed:
        attrs["output_padding"] = tuple(data.draw(st.integers(0, s - 1)) for s in attrs["strides"])
    shape = (channels, outputs // group, *kernel) if transposed else (outputs, share, *kernel)
    values, scale = rng.integers(-127, 128, shape), rng.uniform(0.002, 0.01, outputs)
    bias = rng.integers(-2000, 2000, outputs)
    x_q = params("u8", 0.02, int(rng.integers(0, 256)))
    x = random_integers(rng, x_q, (2, channels, *size))
    x.flat[0], x.flat[-1] = 0, 255
    acc = run(op, x.astype(int) - x_q.zero_point, {"w": values, "b": bias}, {**attrs, "kernel_shape": kernel})
    y_q = params("u8", float(np.abs(acc).max() * 0.02 * scale.max() / 100 + 1e-6), 120)
    weight = QWeight(values.astype(np.int8), INT_TYPES["s8"], scale.astype(np.float64))
    plan = one_op(Op(op, ("x",), "y", attrs, weight, bias), {"x": x.shape}, acc.shape, {"x": x_q}, y_q)
    found = program(plan, rule).run({"x": x})["y"]
    y = scalar.Quantity(y_q)
    for channel in range(outputs):
        tail = y.tail(rule, x_q.scale * float(scale[channel]) / y_q.scale)
        wanted = [tail(int(value)) for value in acc[:, channel].ravel()]
        assert found[:, channel].ravel().tolist() == wanted


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@generated
def test_convolution(rule, data, seed):
    checked("Conv", np.random.default_rng(seed), rule, data, transposed=False)


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@generated
def test_transposed_convolution(rule, data, seed):
    checked("ConvTranspose", np.random.default_rng(seed), rule, data, transposed=True)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@generated
def test_max_pool(data, seed):
    rng, size = np.random.default_rng(seed), (4, 5, 3)
    kernel, attrs = geometry(data, size)
    like = params("s8", 0.1, -5)
    x = random_integers(rng, like, (2, 3, *size))
    attrs = {**attrs, "kernel_shape": kernel}
    wanted = run("MaxPool", x, {}, attrs)
    plan = one_op(
        Op("MaxPool", ("x",), "y", {**attrs, "ceil_mode": 0}), {"x": x.shape}, wanted.shape, {"x": like}, like
    )
    assert np.array_equal(program(plan, "gemmlowp").run({"x": x})["y"], wanted)


@pytest.mark.parametrize("counted", [0, 1])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@generated
def test_average_pool(counted, data, seed):
    """Within half a step and the rule's own error of ONNX Runtime's float mean: 0.51 steps."""
    rng, size = np.random.default_rng(seed), (4, 5, 3)
    kernel, attrs = geometry(data, size)
    x_q, y_q = params("s8", 0.1, -5), params("s8", 0.1, 3)
    x = random_integers(rng, x_q, (2, 3, *size))
    attrs = {**attrs, "dilations": (1, 1, 1), "kernel_shape": kernel, "count_include_pad": counted}
    real = run("AveragePool", x.astype(int) - x_q.zero_point, {}, attrs) * x_q.scale / y_q.scale + y_q.zero_point
    plan = one_op(
        Op("AveragePool", ("x",), "y", {**attrs, "ceil_mode": 0}), {"x": x.shape}, real.shape, {"x": x_q}, y_q
    )
    found = program(plan, "single").run({"x": x})["y"]
    assert np.abs(found - np.clip(real, -128, 127)).max() <= 0.51


@pytest.mark.parametrize("dtype", ["s8", "u8", "s16"])
@pytest.mark.parametrize("rule", sorted(PRESETS))
def test_a_linear_resize_along_three_axes_is_near_onnx_runtime(rule, dtype):
    """Within 2 steps of the real values: each weight is off by half of 2^-11 at most (s16: 2^-11 of the range)."""
    rng = np.random.default_rng(8)
    shape, sizes = (1, 2, 3, 3, 2), (1, 2, 7, 4, 5)
    x_q = params(dtype, 0.02, 100 if dtype == "u8" else 0)
    if x_q.zero_point and rule.startswith("xi"):
        x_q = params(dtype, 0.02)
    x = random_integers(rng, x_q, shape)
    wanted = resized(x, sizes)
    scales = tuple(float(np.float32(o / i)) for o, i in zip(sizes, shape, strict=True))
    attrs = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "sizes": sizes, "scales": scales}
    plan = one_op(Op("Resize", ("x",), "y", attrs), {"x": shape}, sizes, {"x": x_q}, x_q)
    found = program(plan, rule).run({"x": x})["y"].astype(np.float64)
    assert np.abs(found - wanted).max() <= (2 if dtype != "s16" else 3 * 2.0**-12 * 65535)


def resized(x, sizes):
    """Return what ONNX Runtime's linear Resize makes of the integers in float32."""
    wanted = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Resize", ["x", "", "", "n"], ["y"], mode="linear")
    count = numpy_helper.from_array(np.array(sizes, np.int64), "n")
    given_x = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    graph = helper.make_graph([node], "g", [given_x], [wanted], [count])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0].astype(np.float64)
