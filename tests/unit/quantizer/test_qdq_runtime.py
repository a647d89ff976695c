"""The exported network under ONNX Runtime's default optimizer, which rewrites biases and fuses layers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.quantized_onnx import plan_of_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def sqnr(truth, found):
    """Return the signal-to-quantization-noise ratio in dB."""
    return float(10 * np.log10((truth**2).sum() / ((truth - found) ** 2).sum()))


@pytest.mark.parametrize(("level", "bar"), [(1, 20.0), (4, 60.0)])
def test_default_session_agrees_with_the_simulator(repo_root, level, bar):
    graph = load_onnx(repo_root / "examples/data/models/mobilenet_digits.onnx")
    images = np.random.default_rng(0).uniform(-1, 1, (8, 3, 32, 32)).astype(np.float32)
    stats = collect(graph, [{"images": images}], per_channel=True)
    plan = build_plan(graph, stats, QuantOptions(level=level), TargetSection())
    program = compile_plan(plan, TargetSection())
    ours = program.dequantize(program.run({"images": images}))["logits"]
    session = onnxruntime.InferenceSession(to_qdq(plan).SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"images": images})[0]
    assert sqnr(ours, theirs) > bar


LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_LAYOUT", "ORT_ENABLE_ALL")


def outputs_at(model, feeds, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@st.composite
def grouped_upsamplings(draw):
    """Draw (groups, inputs a group, outputs a group, kernel, exponents of the outputs' weights, level, bias)."""
    groups, ins, outs = (draw(st.integers(2, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    small = draw(st.lists(st.integers(-4, 0), min_size=groups * outs, max_size=groups * outs))
    return groups, ins, outs, draw(st.integers(1, 3)), small, draw(st.integers(0, 4)), draw(st.booleans())


@settings(max_examples=25, deadline=None)
@given(grouped_upsamplings(), st.integers(0, 2**31))
def test_no_session_rounds_the_weights_of_a_grouped_upsampling_again(tmp_path_factory, drawn, seed):
    """Tolerance: one step of the output, for other orders of a float32 sum. The file gives the plan's integers back."""
    groups, ins, outs, kernel, small, level, biased = drawn
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(groups, ins, outs, kernel, kernel)) * 10.0 ** np.reshape(small, (groups, 1, outs, 1, 1))
    make = onnx.helper
    constants = {"w": weight.reshape(groups * ins, outs, kernel, kernel), "b": rng.normal(size=groups * outs)}
    spread = 10.0 ** -np.array(small, np.float64)  # a second layer in which the small channels count
    constants["v"] = rng.normal(size=(3, groups * outs, 1, 1)) * spread[None, :, None, None]
    reads = ["x", "w", *(["b"] if biased else [])]
    graph = make.make_graph(
        [make.make_node("ConvTranspose", reads, ["a"], group=groups), make.make_node("Conv", ["a", "v"], ["y"])],
        "net",
        [make.make_tensor_value_info("x", 1, [1, groups * ins, 5, 5])],
        [make.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("grouped") / "net.onnx"
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9), path)
    feeds = {"x": rng.normal(size=(1, groups * ins, 5, 5)).astype(np.float32)}
    loaded = load_onnx(path)
    stats = collect(loaded, [feeds], per_channel=True)
    plan = build_plan(loaded, stats, QuantOptions(level=level, bias_correction=False), TargetSection())
    model = to_qdq(plan)
    first = outputs_at(model, feeds, LEVELS[0])
    for name in LEVELS[1:]:
        assert np.abs(outputs_at(model, feeds, name) - first).max() <= 1.01 * plan.tensors["y"].scale, name
    onnx.save(model, path)
    again = plan_of_quantized(load_onnx(path, optimize=False))
    for layer, read in zip(plan.layers, again.layers, strict=True):
        assert read.mode == "integer"
        np.testing.assert_array_equal(read.weight.values, layer.weight.values)
        np.testing.assert_array_equal(read.weight.scale.astype(np.float32), layer.weight.scale.astype(np.float32))
