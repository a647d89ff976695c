"""Programs: host fallback, batches, threads, captures, messages."""

from __future__ import annotations

import numpy as np
import pytest
from plans import Op, build_plan, params, program, random_integers

from slimai.errors import InputError
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.quantizer.params import S8
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.runtime.session import FloatSession


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def pointwise(rng, outputs=4, inputs=3):
    values = rng.integers(-127, 128, (outputs, inputs, 1, 1)).astype(np.int8)
    return QWeight(values, S8, np.full(outputs, 0.01)), rng.integers(-99, 99, outputs)


ATTRS = {"strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4, "group": 1}


def conv_plan(rng, **changes):
    weight, bias = pointwise(rng)
    ops = [Op("Conv", ("x",), "y", {**ATTRS, **changes}, weight, bias)]
    tensors = {"x": params("s8", 0.02), "y": params("s8", 0.05)}
    return build_plan(ops, {"x": (1, 3, 5, 6), "y": (1, 4, 5, 6)}, tensors, ("x",), ("y",))


def with_host_layers(rng):
    """x -> Conv -> (Exp -> Sqrt on the host) -> Relu: the host part is float32."""
    weight, bias = pointwise(rng)
    nodes = (
        Node("conv", "Conv", ("x", "w", "b"), ("c",), ATTRS),
        Node("exp", "Exp", ("c",), ("e",)),
        Node("sqrt", "Sqrt", ("e",), ("s",)),
        Node("relu", "Relu", ("s",), ("y",)),
    )
    shape = (1, 4, 5, 6)
    infos = {"x": TensorInfo("x", (1, 3, 5, 6)), **{name: TensorInfo(name, shape) for name in "cesy"}}
    real = {"w": (weight.values * weight.scale[0]).astype(np.float32), "b": (bias * 0.02 * 0.01).astype(np.float32)}
    infos |= {name: TensorInfo(name, value.shape) for name, value in real.items()}
    graph = Graph("hosted", nodes, ("x",), ("y",), infos, real)
    layers = (
        Layer("Conv_conv__0", "Conv", nodes[0], ("x",), ("c",), weight=weight, bias=bias),
        Layer("Exp_exp__0", "Exp", nodes[1], ("c",), ("e",), "host", "Exp has no integer kernel"),
        Layer("Sqrt_sqrt__0", "Sqrt", nodes[2], ("e",), ("s",), "host", "Sqrt has no integer kernel"),
        Layer("Relu_relu__0", "Relu", nodes[3], ("s",), ("y",)),
    )
    tensors = {"x": params("s8", 0.02), "c": params("s8", 0.05), "s": params("u8", 0.1), "y": params("u8", 0.1)}
    return QuantPlan(graph, layers, tensors, 1, {})


def test_host_layers_are_named_run_together_and_match_float(rng):
    plan = with_host_layers(rng)
    runner = program(plan, "native")
    assert runner.host_layers == {
        "Exp_exp__0": "Exp has no integer kernel",
        "Sqrt_sqrt__0": "Sqrt has no integer kernel",
    }
    assert [len(step.layers) for step in runner.steps] == [1, 2, 1]
    x = random_integers(rng, plan.tensors["x"], (3, 3, 5, 6))
    found = runner.run({"x": x}, capture=["c", "e", "s"])
    real = plan.tensors["c"].dequantize(found["c"])
    # ONNX Runtime's float32 exp is within 1e-6 relative of NumPy's float64 one.
    np.testing.assert_allclose(found["e"], np.exp(real.astype(np.float64)), rtol=1e-6)
    assert np.array_equal(found["s"], plan.tensors["s"].quantize(np.sqrt(found["e"])))
    whole = FloatSession(plan.graph).run({"x": plan.tensors["x"].dequantize(x)})["y"]
    # half a step of 0.05 through exp(v / 2), at most 24 here, and half a step of 0.1
    assert np.abs(runner.dequantize(found)["y"] - whole).max() < 24 * 0.0126 + 0.051


def test_float_inputs_are_quantized_and_integers_taken_as_they_are(rng):
    plan = conv_plan(rng)
    runner = program(plan, "native")
    real = rng.normal(0, 1, (2, 3, 5, 6)).astype(np.float32)
    integers = plan.tensors["x"].quantize(real)
    assert np.array_equal(runner.run({"x": real})["y"], runner.run({"x": integers})["y"])


@pytest.mark.parametrize("arithmetic", ["native", "gemmlowp", "tflite_s64", "single", "ort_f32"])
def test_batch_threads_and_memory_order_do_not_matter(rng, arithmetic):
    plan = conv_plan(rng)
    x = random_integers(rng, plan.tensors["x"], (8, 3, 5, 6))
    expected = program(plan, arithmetic).run({"x": x})["y"]
    one_by_one = [program(plan, arithmetic).run({"x": x[i : i + 1]})["y"] for i in range(8)]
    assert np.array_equal(np.concatenate(one_by_one), expected)
    assert np.array_equal(program(plan, arithmetic, 2).run({"x": x})["y"], expected)
    strided = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(program(plan, arithmetic).run({"x": strided})["y"], expected)


def test_networks_of_fixed_batch_run_sample_by_sample(rng):
    ops = [Op("Reshape", ("x",), "y", {"shape": (6, 5)})]
    like = params("s8", 0.1)
    plan = build_plan(ops, {"x": (1, 30), "y": (6, 5)}, {"x": like, "y": like}, ("x",), ("y",))
    fixed = Graph(
        **{**{name: getattr(plan.graph, name) for name in plan.graph.__dataclass_fields__}, "batchable": False}
    )
    plan = QuantPlan(fixed, plan.layers, plan.tensors, 1, {})
    x = random_integers(rng, like, (3, 30))
    assert np.array_equal(program(plan, "native").run({"x": x})["y"], x.reshape(18, 5))


def test_overflows_are_counted_by_layer(rng):
    plan = conv_plan(rng)
    plan.layers[0].weight.values[1:3] = 127
    x = np.full((1, 3, 5, 6), 127, np.int8)
    runner = program(plan, "single", acc_bits=16, acc_overflow="wrap")
    sums = plan.layers[0].weight.values.astype(int).sum(axis=(1, 2, 3)) * 127 + plan.layers[0].bias
    outside = int(np.count_nonzero((sums > 32767) | (sums < -32768))) * 30
    runner.run({"x": x})
    runner.run({"x": x})
    assert outside > 0
    assert runner.overflows == {"Conv_0__0": 2 * outside}
    assert not program(plan, "single").overflows


def test_tables_are_named_by_layer(rng):
    table = program(conv_plan(rng), "xi_sym").table()
    assert sorted(table) == [f"Conv_0__0/{key}" for key in ("bias", "multiplier", "pre_shift", "shift", "weight")]
    assert table["Conv_0__0/multiplier"].dtype == np.int64


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "inputs of 'test' are x (got none)"),
        ({"z": np.zeros((1, 3, 5, 6))}, "inputs of 'test' are x (got z)"),
        ({"x": np.zeros((1, 3, 5, 7))}, "input x: shape is not [N, 3, 5, 6] (got (1, 3, 5, 7))"),
        ({"x": np.zeros((1, 3, 5, 6), np.int16)}, "input x: integers are not of the planned type int8 (got 'int16')"),
    ],
)
def test_wrong_inputs_are_named(rng, feeds, message):
    with pytest.raises(InputError) as caught:
        program(conv_plan(rng), "native").run(feeds)
    assert str(caught.value) == message


def test_unknown_captures_are_refused(rng):
    with pytest.raises(InputError, match="'test' has no activation 'q' to capture"):
        program(conv_plan(rng), "native").run({"x": np.zeros((1, 3, 5, 6))}, capture=["q"])


def test_all_layers_that_cannot_be_expressed_are_named_at_once(rng):
    weight, bias = pointwise(rng)
    huge = QWeight(weight.values, S8, np.full(4, 1e9))
    ops = [Op("Conv", ("x",), "y", ATTRS, huge, bias), Op("Conv", ("x",), "z", ATTRS, huge, bias)]
    shapes = {"x": (1, 3, 5, 6), "y": (1, 4, 5, 6), "z": (1, 4, 5, 6)}
    tensors = {"x": params("s8", 0.02), "y": params("s8", 0.05), "z": params("s8", 0.05)}
    with pytest.raises(InputError) as caught:
        program(build_plan(ops, shapes, tensors, ("x",), ("y", "z")), "xi_sym")
    assert [item.file for item in caught.value.diagnostics] == ["Conv_0__0", "Conv_1__0"]
