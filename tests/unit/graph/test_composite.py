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


@pytest.mark.parametrize("op", ["LogSoftmax", "ReduceLogSumExp"])
@pytest.mark.parametrize("size", [1.0, 10.0, 30.0])
def test_the_sum_of_wide_logits_is_known_to_a_hundredth_at_16_bits(build, op, size):
    """The exponential's knots once lay over differences of 360, 1.4 apart: of the largest, 1, a quarter was lost."""
    from slimai.calibration.collect import collect
    from slimai.quantizer.layers import quantized_tensors
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan
    from slimai.schema.target import TargetSection
    from slimai.simulator.program import compile_plan

    attrs = {"axes": [-1]} if op.startswith("Reduce") else {}
    graph = load_onnx(build([(op, "x", "y", attrs)], {"x": ROWS}, ["y"], {}))
    rng = np.random.default_rng(11)
    feeds = [{"x": (size * rng.normal(size=ROWS)).astype(np.float32)} for _ in range(8)]
    statistics = collect(graph, feeds, tensors=quantized_tensors(graph))
    plan = build_plan(graph, statistics, QuantOptions(level=4), TargetSection())
    program = compile_plan(plan, TargetSection())
    found = np.stack([program.dequantize(program.run(item))["y"] for item in feeds])
    x = np.stack([item["x"] for item in feeds]).astype(np.float64)
    total = np.logaddexp.reduce(x, axis=-1, keepdims=True)
    wanted = total if op.startswith("Reduce") else x - total
    assert np.abs(found - wanted).max() <= 0.01 + 2 * plan.tensors["y"].scale


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
