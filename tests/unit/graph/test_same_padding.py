"""auto_pad SAME_UPPER and SAME_LOWER of every window, against ONNX Runtime. Tolerance: 1e-5 of the largest value."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx

ROWS = st.tuples(
    st.sampled_from(["Conv", "MaxPool", "AveragePool"]),
    st.sampled_from(["SAME_UPPER", "SAME_LOWER"]),
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=2),
    st.integers(0, 1),
    st.sampled_from([17, 19, 23]),
)


def check(build, compare, row):
    op, auto, axes, ceil_mode, opset = row
    sizes, kernel, strides = (list(column) for column in zip(*((n, min(k, n), s) for n, k, s in axes), strict=True))
    attrs = {"auto_pad": auto, "strides": strides, "kernel_shape": kernel}
    constants = {}
    if op == "Conv":
        constants["w"] = np.random.default_rng(3).normal(size=(2, 2, *kernel)).astype(np.float32)
    else:
        attrs["ceil_mode"] = ceil_mode
    path = build([(op, ["x", *constants], ["y"], attrs)], {"x": [1, 2, *sizes]}, ["y"], constants, opset)
    graph = load_onnx(path)
    onnx.checker.check_model(to_onnx(graph), full_check=True)
    compare(path, graph, 1e-5)


def runs(row):
    """Return whether ONNX Runtime runs it: most pools refuse windows that leave elements over."""
    op, _, axes, _, opset = row
    left = any((-(-n // s) - 1) * s + min(k, n) < n for n, k, s in axes)
    return not left or op == "Conv" or (op == "AveragePool" and opset >= 19)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS.filter(runs))
def test_any_window(build, compare, row):
    check(build, compare, row)


@pytest.mark.parametrize(
    "row",
    [
        ("AveragePool", "SAME_UPPER", [(9, 1, 3), (4, 2, 2)], 0, 19),  # ONNX Runtime starts at element 1
        ("AveragePool", "SAME_UPPER", [(3, 1, 3)], 1, 20),  # and ceil_mode changes nothing
        ("Conv", "SAME_UPPER", [(4, 1, 4)], 0, 17),
        ("Conv", "SAME_LOWER", [(9, 1, 4), (5, 2, 2)], 0, 19),
        ("MaxPool", "SAME_UPPER", [(3, 2, 2)], 1, 17),  # SAME has its own size, which ceil_mode does not change
    ],
    ids=str,
)
def test_what_the_networks_found(build, compare, row):
    check(build, compare, row)
