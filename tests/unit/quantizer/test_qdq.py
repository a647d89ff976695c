"""QDQ export: valid ONNX, run by ONNX Runtime, equal to the quantized float network where nothing saturates."""

import numpy as np
import onnx
import pytest

from slimai.calibration.collect import collect
from slimai.quantizer.layers import quantized_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession


def network(net, rng):
    """Return a network with every form that the export treats apart: folded clamp, Concat, operand, host, moves."""
    n = net()
    n.conv("x", "a", rng.normal(size=(6, 4, 1, 1)), rng.normal(size=6))
    n.node("Relu", ("a",), "ra")
    n.conv("ra", "d", rng.normal(size=(6, 1, 1, 1)), rng.normal(size=6), group=6)
    n.node("Concat", ("ra", "d"), "c", (1, 12, 8, 8), axis=1)
    n.node("Mul", ("c", n.const("k", rng.uniform(0.5, 1, (1, 12, 1, 1)))), "m")
    n.node("PRelu", ("m", n.const("slope", rng.uniform(0, 0.5, (12, 1, 1)))), "p")
    n.const("t_w", rng.normal(size=(12, 2, 2, 2)))
    n.node(
        "ConvTranspose",
        ("p", "t_w"),
        "t",
        (1, 4, 16, 16),
        strides=(2, 2),
        dilations=(1, 1),
        pads=(0,) * 4,
        group=2,
        output_padding=(0, 0),
    )
    n.node("Atan", ("t",), "e")
    n.node("GlobalAveragePool", ("e",), "g", (1, 4, 1, 1))
    n.node("Reshape", ("g",), "f", (1, 4), shape=(1, 4))
    n.const("fc", rng.normal(size=(3, 4)))
    n.node("Gemm", ("f", "fc"), "y", (1, 3), transB=1)
    return n.graph("y", "d")


def run_plainly(model, feeds):
    """Run without ORT's own fusions: its u8 x s8 kernels saturate inside on processors without VNNI."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([item.name for item in session.get_outputs()], session.run(None, feeds), strict=True))


@pytest.mark.parametrize("options", [{"level": n} for n in range(5)] + [{"level": 4, "level4_weights": "s8"}], ids=str)
def test_it_runs_and_is_near_float(net, rng, options):
    """Tolerance: 3 percent of the largest float output at 8 bits, 0.05 percent at 16."""
    graph = network(net, rng)
    images = [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
    plan = build_plan(graph, collect(graph, images, tensors=quantized_tensors(graph)), QuantOptions(**options))
    model = to_qdq(plan)
    onnx.checker.check_model(model, full_check=True)
    assert [item.name for item in model.graph.output] == ["y", "d"]
    assert model.opset_import[0].version >= (21 if options["level"] == 4 else 13)
    tolerance = 0.0005 if options == {"level": 4} else 0.03
    reference = FloatSession(graph)
    for image in images:
        expected, found = reference.run(image), run_plainly(model, image)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * np.abs(value).max())


def test_integers_in_the_file_are_those_of_the_plan(net, rng):
    graph = network(net, rng)
    images = [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)}]
    plan = build_plan(graph, collect(graph, images, tensors=quantized_tensors(graph)), QuantOptions(level=3))
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in to_qdq(plan).graph.initializer}
    for layer in plan.layers:
        if layer.weight is not None and layer.node.op != "ConvTranspose":
            np.testing.assert_array_equal(stored[f"{layer.name}__weight__q"], layer.weight.values)
        if layer.bias is not None:
            np.testing.assert_array_equal(stored[f"{layer.name}__bias__q"], layer.bias)
    for tensor, params in plan.tensors.items():
        assert stored[f"{tensor}__scale"] == np.float32(params.scale)
        assert stored[f"{tensor}__zero_point"] == params.zero_point


def test_requantize_becomes_one_rounding(net, rng):
    """A 16-bit layer between 8-bit ones: the export has a second Q/DQ pair on the edge and no Requantize node."""
    n = net()
    n.conv("x", "a", rng.normal(size=(4, 4, 1, 1)))
    n.conv("a", "b", rng.normal(size=(4, 4, 1, 1)))
    graph = n.graph("b")
    images = [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)}]
    stats = collect(graph, images)
    model = to_qdq(build_plan(graph, stats, QuantOptions(level=1, datatypes={"n_b": (16, 8)})))
    kinds = [node.op_type for node in model.graph.node]
    assert "Requantize" not in kinds
    assert kinds.count("QuantizeLinear") == 4
    FloatSession(model.SerializeToString()).run(images[0])
