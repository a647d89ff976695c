"""Operator sets before 17: what the converter changes beside the operator set is put back."""

import numpy as np
import onnx
import pytest

from slimai.graph.load import load_onnx
from slimai.runtime.session import FloatSession


@pytest.mark.parametrize("opset", [7, 8, 9, 10])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_several_upsamples_keep_their_places(build, compare, opset, mode):
    """The converter renames outputs that are read inside; each Resize keeps its own meaning. Tolerance 1e-6."""
    scales = {"a": np.array([1, 1, 2, 2], np.float32), "b": np.array([1, 1, 3, 1], np.float32)}
    op = "Upsample" if opset < 10 else "Resize"

    def node(x, key, y):
        if opset < 9:
            return op, [x], [y], {"mode": mode, "scales": scales[key].tolist()}
        return op, [x, key], [y], {"mode": mode}

    nodes = [node("x", "a", "u"), ("Relu", ["u"], ["r"], {}), node("r", "b", "y")]
    constants = {} if opset < 9 else scales
    path = build(nodes, {"x": [1, 3, 2, 5]}, ["y"], constants, opset)
    compare(path, load_onnx(path), 1e-6)


def test_nodes_of_one_name_can_be_converted(build):
    """ONNX Runtime, which runs the model before and after, refuses equal names; exporters write them."""
    scales = {"mode": "nearest", "scales": [1.0, 1.0, 2.0, 2.0]}
    nodes = [("Upsample", ["x"], ["u"], scales), ("Upsample", ["u"], ["y"], scales)]
    path = build(nodes, {"x": [1, 3, 2, 5]}, ["y"], {}, 8)
    apart = load_onnx(path)
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = "up"
    onnx.save(model, path)
    feeds = {"x": np.random.default_rng(1).normal(size=(1, 3, 2, 5)).astype(np.float32)}
    np.testing.assert_array_equal(FloatSession(load_onnx(path)).run(feeds)["y"], FloatSession(apart).run(feeds)["y"])
