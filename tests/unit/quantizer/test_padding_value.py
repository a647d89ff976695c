"""A Pad: its value may lie where the scale of its input does not reach, or would make it coarse."""

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


def run(tmp_path, text, level, size):
    """Return the plan, what it gives for four samples of 6 values, and float's outputs."""
    rng = np.random.default_rng(2)
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, -1]), "s"))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    feeds = [{"x": (size * rng.normal(size=(1, 6))).astype(np.float32)} for _ in range(4)]
    graph = load_onnx(path)
    plan = build_plan(graph, collect(graph, feeds), QuantOptions(level=level))
    assert all(layer.mode == "integer" for layer in plan.layers)
    program, session = compile_plan(plan, TargetSection()), FloatSession(path.read_bytes())
    found = [program.dequantize(program.run(feed)) for feed in feeds]
    return plan, found, [session.run(feed) for feed in feeds]


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("value", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "Softmax"])
def test_the_padding_is_kept(tmp_path, op, value, level):
    """Within steps of float: one of the function, one of the change of scale, and half of one of the input's."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]> net (float[1,6] x) => (float[1,10] z)
    <int64[4] pads = {{0, 1, 0, 3}}, float value = {{{value}}}>
    {{ y = {op}(x) p = Pad(y, pads, value) z = Reshape(p, s) }}"""
    plan, found, wanted = run(tmp_path, text, level, 1.0)
    for one, other in zip(found, wanted, strict=True):
        steps = 2 * plan.tensors["z"].scale + plan.tensors["x"].scale / 2
        np.testing.assert_allclose(one["z"], other["z"], rtol=0, atol=steps)


@pytest.mark.parametrize("level", range(5))
def test_other_readers_keep_their_grid(tmp_path, level):
    """A padding of 3 around values of 0.1: what reads the values beside the Pad is as near as without it."""
    head = '<ir_version: 8, opset_import: ["" : 17]> net (float[1,6] x) => (float[1,6] y, float[1,10] z)'
    text = (
        head
        + """ <int64[4] pads = {0, 1, 0, 3}, float value = {3.0}>
    { y = HardSwish(x) p = Pad(x, pads, value) z = Reshape(p, s) }"""
    )
    plan, found, wanted = run(tmp_path, text, level, 0.03)
    assert plan.tensors["x"].scale < 3 / 255 / 8
    for one, other in zip(found, wanted, strict=True):
        for name in ("y", "z"):
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=2 * plan.tensors[name].scale)
