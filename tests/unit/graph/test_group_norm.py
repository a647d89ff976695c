"""GroupNormalization: what ONNX Runtime computes, and no node on the host."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.graph.load import load_onnx
from slimai.quantizer.support import host_reason

rng = np.random.default_rng(4)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("shape", [[1, 6, 5, 4], [1, 6, 7], [1, 6, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("opset", [21, 22])
def test_is_read_as_instance_normalization(build, compare, opset, shape, optimize):
    """Tolerance 1e-5."""
    constants = {"g": rng.uniform(0.5, 2, 6).astype(np.float32), "b": rng.normal(size=6).astype(np.float32)}
    nodes = [
        ("Relu", ["x"], ["a"], {}),
        ("GroupNormalization", ["a", "g", "b"], ["n"], {"num_groups": 3, "epsilon": 0.01}),
        ("Relu", ["n"], ["y"], {}),
    ]
    path = build(nodes, {"x": shape}, ["y"], constants, opset=opset)
    graph = load_onnx(path, optimize=optimize)
    compare(path, graph, 1e-5)
    assert [node.op for node in graph.nodes].count("InstanceNormalization") == 1
    assert not [node.op for node in graph.nodes if host_reason(graph, node)]
