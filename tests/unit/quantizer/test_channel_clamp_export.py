"""A network equalized through ReLU6, quantized and exported: ONNX Runtime runs it, node by node as the simulator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import utils

from slimai.calibration.collect import channel_magnitudes, collect
from slimai.graph.load import load_onnx
from slimai.graph.ops import channel_limits
from slimai.graph.save import to_onnx
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.quantized_onnx import plan_of_quantized
from slimai.quantizer.rewrites.equalization import equalize
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.cost import estimate
from slimai.simulator.program import compile_plan


class Clock:
    dsp_frequency, read_delay, write_delay = 100.0, 10, 10


@pytest.fixture
def case(net, rng):
    """Conv, depthwise, a residual sum, a clamp of its own behind MaxPool, Atan on the host, a classifier."""
    n = net()
    n.conv("x", "a", rng.normal(size=(6, 4, 1, 1)) * 10 ** rng.uniform(-1, 1, (6, 1, 1, 1)), rng.normal(size=6))
    n.node("Clip", ("a",), "ra", lo=0.0, hi=6.0)
    n.conv("ra", "d", rng.normal(size=(6, 1, 1, 1)) * 10 ** rng.uniform(-1, 1, (6, 1, 1, 1)), np.ones(6), group=6)
    n.node("Clip", ("d",), "rd", lo=0.0, hi=6.0)
    n.conv("rd", "e", rng.normal(size=(6, 6, 1, 1)), rng.normal(size=6))
    n.node("Add", ("rd", "e"), "s")
    n.node("Clip", ("s",), "rs", lo=0.0, hi=6.0)
    n.conv("rs", "m", rng.normal(size=(5, 6, 1, 1)) * 10 ** rng.uniform(-1, 1, (5, 1, 1, 1)), np.ones(5))
    pool = {"kernel_shape": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4, "ceil_mode": 0}
    n.node("MaxPool", ("m",), "p", **pool)
    n.node("Clip", ("p",), "rp", lo=0.0, hi=3.0)
    n.conv("rp", "h", rng.normal(size=(4, 5, 1, 1)))
    n.node("Atan", ("h",), "k")
    n.node("GlobalAveragePool", ("k",), "g", (1, 4, 1, 1))
    n.node("Reshape", ("g",), "f", (1, 4), shape=(1, 4))
    n.node("Gemm", ("f", n.const("fc", rng.normal(size=(7, 4)) * 3)), "q", (1, 7), transB=1)
    n.node("Clip", ("q",), "rq", lo=0.0, hi=1.0)
    n.node("Gemm", ("rq", n.const("fd", rng.normal(size=(3, 7)))), "y", (1, 3), transB=1)
    graph = n.graph("y")
    images = [{"x": rng.normal(size=(2, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
    made = equalize(graph, channel_magnitudes(graph, images), clamp_per_channel=True).graph
    limited = [node.name for node in made.nodes if channel_limits(node)]
    assert limited == ["n_ra", "n_rd", "n_rs", "n_rp", "n_rq"]
    return graph, made, images


def plan_of(made, images, **options):
    return build_plan(made, collect(made, images, per_channel=True), QuantOptions(**options), TargetSection())


def session(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_the_float_network_is_ordinary_onnx(case, tmp_path):
    """Tolerance: 2e-6 of the largest output, float32 rounding of rescaled weights."""
    graph, made, images = case
    model = to_onnx(made, batch="N")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("Min"), kinds.count("Clip")) == (5, 0)
    expected = FloatSession(graph).run(images[0])["y"]
    found = session(model).run(["y"], images[0])[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    onnx.save(to_onnx(made), tmp_path / "float.onnx")
    again = load_onnx(tmp_path / "float.onnx")
    folded = [step.activation.op for step in layer_steps(again) if step.activation is not None]
    assert "Clip" not in folded, "a float network's own Min stays what it is: the target may have no such clamp"


@pytest.mark.parametrize(
    "options", [{"level": n} for n in range(5)] + [{"level": 1, "datatypes": {"n_d": (16, 8)}}], ids=str
)
def test_every_node_of_the_export_is_within_one_step(case, options):
    """Each layer alone in ONNX Runtime, on the simulator's integers: at most one step of its output's grid."""
    _, made, images = case
    plan = plan_of(made, images, **options)
    folded = [layer.name for layer in plan.layers if layer.activation is not None and channel_limits(layer.activation)]
    assert len(folded) == 4
    model = onnx.shape_inference.infer_shapes(to_qdq(plan))
    extractor, program = utils.Extractor(model), compile_plan(plan, TargetSection())
    values = program.run(images[0], capture=[name for layer in plan.layers for name in layer.outputs])
    values |= program.entering(images[0])
    checked = 0
    for layer in plan.layers:
        (output,) = layer.outputs
        if layer.mode == "host":
            continue
        part = extractor.extract_model([f"{name}__q" for name in layer.inputs], [f"{output}__q"])
        theirs = session(part).run(None, {f"{name}__q": values[name] for name in layer.inputs})[0]
        assert np.abs(theirs.astype(int) - values[output]).max() <= 1, layer.name
        assert np.unique(theirs).size > 2, layer.name
        checked += 1
    assert checked >= 10


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("arithmetic", ["native", "single", "ort_f32"])
def test_the_export_comes_back_bit_for_bit(case, tmp_path, level, arithmetic):
    _, made, images = case
    plan, path = plan_of(made, images, level=level), tmp_path / "exported.onnx"
    onnx.save(to_qdq(plan), path)
    again = plan_of_quantized(load_onnx(path, optimize=False))
    clamps = [layer.activation for layer in again.layers if layer.activation is not None]
    assert [channel_limits(node) for node in clamps] == [
        channel_limits(layer.activation) for layer in plan.layers if layer.activation is not None
    ]
    found, expected = (
        compile_plan(item, TargetSection(), arithmetic=arithmetic).run(images[0])["y"] for item in (again, plan)
    )
    assert np.array_equal(found, expected)


def test_limits_and_widths_are_still_the_users(case):
    """Edited limits are final, mixed widths reach the clamped layers, and names stay those of the float network."""
    graph, made, images = case
    stats = collect(made, images, per_channel=True)
    plain = build_plan(made, stats, QuantOptions(level=1), TargetSection())
    edited = build_plan(
        made, stats, QuantOptions(level=1, limits={"rd": (0.0, 2.5)}, datatypes={"n_a": (16, 16)}), TargetSection()
    )
    assert edited.limits["rd"] == (0.0, 2.5) != plain.limits["rd"]
    assert edited.tensors["ra"].dtype.bits == 16
    original = build_plan(graph, collect(graph, images, per_channel=True), QuantOptions(level=1), TargetSection())
    assert plain.profile_names == original.profile_names
    assert [layer.kind for layer in plain.layers] == [layer.kind for layer in original.layers]
    assert estimate(plain, TargetSection(), Clock()).cycles == estimate(original, TargetSection(), Clock()).cycles
    program = compile_plan(edited, TargetSection())
    out = program.dequantize(program.run(images[0], capture=["rd"]))["rd"]
    step, limits = edited.tensors["rd"].scale, np.array(edited.layers[0].activation.attrs["hi"])
    assert limits.shape == (6,)
    high = np.minimum(np.array(made.by_name["n_rd"].attrs["hi"]), 2.5)
    assert (out.max(axis=(0, 2, 3)) <= high + step).all()
