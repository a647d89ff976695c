"""0 / 0 is 0 in the exported file as in integers, anything else over 0 saturates, and the file is read as it was."""

import numpy as np
import onnx
import pytest

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.layers import quantized_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.quantized_onnx import plan_of_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

TARGET = TargetSection()
NETWORKS = {
    "norm": "r = ReduceL2<axes = [1], keepdims = 1>(x) y = Div(x, r)",
    "lp": "y = LpNormalization<axis = 1, p = 1>(x)",
    "signed": "y = Div(x, w)",
}


def network(tmp_path, body):
    inputs = "float[N,4] x, float[N,4] w" if "w)" in body else "float[N,4] x"
    text = f'<ir_version: 8, opset_import: ["" : 17]> net ({inputs}) => (float[N,4] y) {{ {body} }}'
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return load_onnx(path)


def samples(graph):
    rng = np.random.default_rng(4)
    feeds = [{name: rng.uniform(0.5, 2.0, (1, 4)).astype(np.float32) for name in graph.inputs} for _ in range(4)]
    if len(graph.inputs) > 1:
        row = {"x": [2.0, 0.5, -0.5, 1.0], "w": [1.0, -2.0, 1.0, 2.0]}
        feeds += [{name: np.float32(sign) * np.float32([value]) for name, value in row.items()} for sign in (1, -1)]
    return feeds


def zeros(graph):
    """Rows of zeros, or every pair of zeros and other signs."""
    if len(graph.inputs) == 1:
        return {"x": np.array([[0, 0, 0, 0], [1, 0, 2, 0.5]], np.float32)}
    return {"x": np.array([[0, 1, -1, 0]], np.float32), "w": np.array([[0, 0, 0, 1]], np.float32)}


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("name", NETWORKS)
def test_zero_over_zero(name, level, tmp_path):
    import onnxruntime

    graph = network(tmp_path, NETWORKS[name])
    statistics = collect(graph, samples(graph), tensors=quantized_tensors(graph))
    plan = build_plan(graph, statistics, QuantOptions(level=level), TARGET)
    feeds = zeros(graph)
    program = compile_plan(plan, TARGET)
    found = program.run(feeds)
    model = to_qdq(plan)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    exported = session.run(["y"], feeds)[0]
    params = plan.tensors["y"]
    simulated = program.dequantize(found)["y"]
    assert np.abs(exported - simulated).max() <= 1.001 * params.scale * (8 if level == 4 else 1)
    if name == "signed":
        ends = params.dtype.high, params.dtype.low
        np.testing.assert_array_equal(found["y"][0, :3], [params.zero_point, *ends])
        np.testing.assert_array_equal(exported[0, :3], simulated[0, :3])
    else:
        np.testing.assert_array_equal(exported[0], 0.0)
        np.testing.assert_array_equal(simulated[0], 0.0)
    onnx.save(model, tmp_path / "again.onnx")
    again = plan_of_quantized(load_onnx(tmp_path / "again.onnx"))
    layers = [layer for layer in again.layers if layer.node.op == "Div"]
    assert [layer.mode for layer in layers] == ["integer"]
    assert not {layer.node.op for layer in again.layers} & {"Equal", "OnnxWhere"}
    np.testing.assert_array_equal(compile_plan(again, TARGET).run(feeds)["y"], found["y"])
