"""A Pad behind an operator of fixed scale: its value may lie where that scale does not reach."""

import numpy as np
import onnx
import pytest

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("value", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "Softmax"])
def test_the_padding_is_kept(tmp_path, op, value, level):
    """Within 3 steps of float: one of the function, one of the change of scale, and half of the input's."""
    rng = np.random.default_rng(2)
    text = f"""<ir_version: 8, opset_import: ["" : 17]> net (float[1,6] x) => (float[1,10] z)
    <int64[4] pads = {{0, 1, 0, 3}}, float value = {{{value}}}>
    {{ y = {op}(x) p = Pad(y, pads, value) z = Reshape(p, s) }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, -1]), "s"))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    feeds = [{"x": rng.normal(size=(1, 6)).astype(np.float32)} for _ in range(4)]
    graph = load_onnx(path)
    plan = build_plan(graph, collect(graph, feeds), QuantOptions(level=level))
    assert all(layer.mode == "integer" for layer in plan.layers)
    program, session = compile_plan(plan, TargetSection()), FloatSession(path.read_bytes())
    params = plan.tensors["z"]
    for feed in feeds:
        found = program.dequantize(program.run(feed))["z"]
        np.testing.assert_allclose(found, session.run(feed)["z"], rtol=0, atol=3 * params.scale)
