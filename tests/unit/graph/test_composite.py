"""Operators that are a few canonical ones: ONNX Runtime on the file is the oracle, and no node is left on the host."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.graph.load import load_onnx
from slimai.quantizer.layers import layer_steps

TOLERANCE = 1e-4
generated = settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS, MAP = [1, 5, 6], [1, 4, 5, 3]


CASES = {
    "Sum": ([("Sigmoid", "x", "s", {}), ("Tanh", "x", "t", {}), ("Sum", "xst", "y", {})], {}),
    "Mean": ([("Sigmoid", "x", "s", {}), ("Tanh", "x", "t", {}), ("Mean", "xst", "y", {})], {}),
    "ReduceL1": ([("ReduceL1", "x", "y", {"axes": [1]})], {}),
    "ReduceL1 dropped": ([("ReduceL1", "x", "y", {"axes": [-1], "keepdims": 0})], {}),
    "ReduceSumSquare": ([("ReduceSumSquare", "x", "y", {"axes": [1], "keepdims": 0})], {}),
    "ReduceLogSum": ([("Sigmoid", "x", "s", {}), ("ReduceLogSum", "s", "y", {"axes": [-1]})], {}),
    "ReduceLogSumExp": ([("ReduceLogSumExp", "x", "y", {"axes": [1]})], {}),
    "LogSoftmax": ([("LogSoftmax", "x", "y", {"axis": 1})], {}),
    "LogSoftmax last": ([("LogSoftmax", "x", "y", {})], {}),
    "LpNormalization": ([("LpNormalization", "x", "y", {"axis": 1})], {}),
    "LpNormalization of magnitudes": ([("LpNormalization", "x", "y", {"p": 1})], {}),
}


@pytest.mark.parametrize("case", CASES)
@given(shape=st.sampled_from([ROWS, MAP]))
@generated
def test_the_meaning_stays_and_nothing_is_left_on_the_host(build, compare, case, shape):
    nodes, constants = CASES[case]
    path = build(nodes, {"x": shape}, ["y"], constants)
    graph = load_onnx(path)
    assert not [step.host for step in layer_steps(graph) if not step.integer]
    compare(path, graph, TOLERANCE)


def test_rows_of_zeros_stay_zeros(build):
    from slimai.runtime.session import FloatSession

    graph = load_onnx(build([("LpNormalization", "x", "y", {})], {"x": ROWS}, ["y"], {}))
    assert not FloatSession(graph).run({"x": np.zeros(ROWS, np.float32)})["y"].any()


@pytest.mark.parametrize("op", ["LogSoftmax", "ReduceLogSumExp"])
def test_one_behind_a_mask_stays(build, op):
    mask = np.zeros((1, 5, 6), np.float32)
    mask[:, :, 2] = -1e9
    attrs = {"axes": [-1]} if op.startswith("Reduce") else {}
    graph = load_onnx(build([("Add", "xm", "a", {}), (op, "a", "y", attrs)], {"x": ROWS}, ["y"], {"m": mask}))
    assert op in [node.op for node in graph.nodes]


@pytest.mark.parametrize("attrs", [{}, {"axis": 1, "epsilon": 0.25}])
def test_rms_normalization_runs_in_integers(build, compare, attrs):
    gain = (
        np.linspace(0.5, 2, 6 if "axis" not in attrs else 30).astype(np.float32).reshape(ROWS[attrs.get("axis", 2) :])
    )
    path = build([("RMSNormalization", "xg", "y", attrs)], {"x": ROWS}, ["y"], {"g": gain}, opset=23, ir=10)
    graph = load_onnx(path)
    assert not [step.host for step in layer_steps(graph) if not step.integer]
    assert "RMSNormalization" not in [node.op for node in graph.nodes]
    compare(path, graph, TOLERANCE)


def test_rms_normalization_that_computes_in_16_bits_stays(build):
    nodes = [("RMSNormalization", "xg", "y", {"stash_type": 10})]
    graph = load_onnx(build(nodes, {"x": ROWS}, ["y"], {"g": np.ones(6, np.float32)}, opset=23, ir=10))
    assert [node.op for node in graph.nodes] == ["RMSNormalization"]
