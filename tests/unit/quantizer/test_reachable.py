"""Output scales that integers can reach: no multiplier beyond the target's, no grid finer than an input that is 0."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

ONE = ("Abs", "Neg", "Relu", "LeakyRelu", "Softsign", "AveragePool", "ReduceSum", "MaxPool", "Transpose", "Erf")
TWO = ("Add", "Sub", "Mul", "Max", "Concat")
ATTRS = {
    "LeakyRelu": {"alpha": 0.1},
    "AveragePool": {"kernel_shape": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "ceil_mode": 0,
                    "count_include_pad": 0},
    "MaxPool": {"kernel_shape": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "ceil_mode": 0},
    "ReduceSum": {"axes": (3,), "keepdims": 1},
    "Transpose": {"perm": (0, 1, 3, 2)},
    "Concat": {"axis": 1},
}  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(op=st.sampled_from(ONE + TWO), level=st.integers(0, 4), tiny=st.floats(-37, -3))
def test_what_reads_a_sigmoid_that_is_nearly_zero_compiles_and_stays_within_a_step(net, stats_of, op, level, tiny):
    """A Sigmoid's scale is fixed, whatever calibration saw: its last bit, and what follows from it, is not known."""
    size, n = 10.0**tiny, net()
    n.node("Sigmoid", ("x",), "s")
    n.node(op, ("s", "s") if op in TWO else ("s",), "y", **ATTRS.get(op, {}))
    graph = n.graph("y")
    plan = build_plan(graph, stats_of(x=[-80, 1], s=[0, size], y=[-size, size]), QuantOptions(level=level))
    program = compile_plan(plan, TargetSection())
    x = np.full((1, *graph.shape("x")[1:]), -80.0, np.float32)
    found = program.dequantize(program.run({"x": x}))["y"]
    terms = graph.shape("x")[3] if op == "ReduceSum" else 1
    assert np.abs(found).max() <= 2 * terms * max(plan.tensors["s"].scale, plan.tensors["y"].scale)


@pytest.mark.parametrize("level", range(5))
def test_an_input_without_range_raises_no_grid(net, stats_of, level):
    n = net()
    n.node("HardSigmoid", ("x",), "y", alpha=0.2, beta=0.5)
    plan = build_plan(n.graph("y"), stats_of(x=[0, 0], y=[0, 0.5]), QuantOptions(level=level))
    assert plan.tensors["y"].scale <= 0.5 / 127
    assert not plan.decisions
