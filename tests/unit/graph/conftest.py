"""Small ONNX models, written to a file, and the comparison of a graph with its file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.runtime.session import FloatSession


def make_file(path, nodes, inputs, outputs, constants=None, opset=17, ir=8, dtypes=None):
    """Write a model of (op, inputs, outputs, attributes) tuples; return its path."""
    protos = [
        helper.make_node(op, list(ins), list(outs), name=f"{op.lower()}{place}", **attrs)
        for place, (op, ins, outs, attrs) in enumerate(nodes)
    ]
    kinds = dtypes or {}
    graph = helper.make_graph(
        protos,
        "small",
        [helper.make_tensor_value_info(key, kinds.get(key, TensorProto.FLOAT), shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(key, kinds.get(key, TensorProto.FLOAT), None) for key in outputs],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.save(model, path)
    return path


@pytest.fixture
def build(tmp_path):
    """Return a function that writes a small model."""

    def write(*args, name="small", **kwargs):
        return make_file(tmp_path / f"{name}.onnx", *args, **kwargs)

    return write


@pytest.fixture
def compare():
    """Return a function that holds a graph against an ONNX file: `tolerance` of the largest magnitude."""

    def check(path, graph, tolerance, images=3, low=-4.0, optimize=True):
        rng = np.random.default_rng(11)
        before, after = FloatSession(path.read_bytes(), optimize=optimize), FloatSession(graph)
        feeds = [
            {key: rng.uniform(low, 4, graph.shape(key)).astype(np.float32) for key in graph.inputs}
            for _ in range(images)
        ]
        wanted = [before.run(feed) for feed in feeds]
        for feed, reference in zip(feeds, wanted, strict=True):
            _close(after.run(feed), reference, tolerance)
        if graph.batchable and graph.inputs:
            together = after.run({key: np.concatenate([feed[key] for feed in feeds]) for key in graph.inputs})
            _close(together, {key: np.concatenate([item[key] for item in wanted]) for key in wanted[0]}, tolerance)

    return check


def _close(found, wanted, tolerance):
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        assert found[key].shape == value.shape
        assert found[key].dtype == value.dtype
        largest = float(np.abs(value).max())
        np.testing.assert_allclose(found[key], value, rtol=0, atol=tolerance * largest)
