"""Tensors without an element: they are constants, and what joins them does without."""

import numpy as np
import pytest

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

X = {"x": [1, 4, 6, 6]}
C = {
    "zero": np.array([0]), "two": np.array([2]), "axis": np.array([1]), "parts": np.array([0, 3, 1, 0]),
    "w": np.ones((4, 4, 1, 1), np.float32), "none": np.zeros((1, 0, 6, 6), np.float32),
}  # fmt: skip
SLICE = ("Slice", ["x", "two", "two", "axis"], ["e"], {})
NETWORKS = {
    "slice and concat": ([SLICE, ("Concat", ["x", "e"], ["y"], {"axis": 1})], ["y"]),
    "only one is left": ([("Relu", ["x"], ["r"], {}), SLICE, ("Concat", ["e", "r", "e"], ["y"], {"axis": 1})], ["y"]),
    "constant": ([("Concat", ["none", "x", "x"], ["y"], {"axis": 1})], ["y"]),
    "chain": ([SLICE, ("Relu", ["e"], ["f"], {}), ("Concat", ["f", "x"], ["y"], {"axis": 1})], ["y"]),
    "split": ([("Split", ["x", "parts"], ["a", "y", "z", "b"], {"axis": 1})], ["y", "z"]),
    "split output": ([("Split", ["x", "parts"], ["a", "y", "z", "b"], {"axis": 1})], ["y", "a", "z"]),
    "output": ([SLICE, ("Relu", ["x"], ["y"], {})], ["y", "e"]),
    "pooled": ([SLICE, ("ReduceSum", ["e", "axis"], ["s"], {}), ("Add", ["s", "x"], ["y"], {})], ["y"]),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("level", [1, 3, 4])
def test_empty_tensors_change_nothing(build, name, level):
    """Oracle: ONNX Runtime on the file; two output steps (exported: equal to the simulator within them)."""
    nodes, outputs = NETWORKS[name]
    read = {item for node in nodes for item in node[1]}
    path = build(nodes, X, outputs, {key: value for key, value in C.items() if key in read})
    graph = load_onnx(path)
    feed = {"x": np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)}
    truth = FloatSession(path.read_bytes(), optimize=False).run(feed)
    plan = build_plan(graph, collect(graph, [feed]), QuantOptions(level=level), TargetSection())
    program = compile_plan(plan, TargetSection())
    found = program.dequantize(program.run(feed))
    exported = FloatSession(to_qdq(plan).SerializeToString(), optimize=False).run(feed)
    for key in outputs:
        step = plan.tensors[key].scale if key in plan.tensors else 0.0
        assert found[key].shape == exported[key].shape == truth[key].shape
        np.testing.assert_allclose(found[key], truth[key], rtol=0, atol=2.01 * step)
        np.testing.assert_allclose(found[key], exported[key], rtol=0, atol=2.01 * step)
