"""Pools with ceil_mode: every tensor has the shape that ONNX Runtime gives it."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.errors import UnsupportedError
from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx
from slimai.runtime.session import FloatSession

AXIS = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(0, 2))
ROWS = st.tuples(
    st.sampled_from(["MaxPool", "AveragePool"]),
    st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER"]),
    st.lists(AXIS, min_size=1, max_size=2),
    st.sampled_from([10, 12, 17, 19, 22, 24]),
)


def attributes(row):
    _, auto, axes, _ = row
    kernel = [min(k, n) for n, k, *_ in axes]
    attrs = {"kernel_shape": kernel, "strides": [axis[2] for axis in axes], "ceil_mode": 1}
    if auto != "NOTSET":
        return {**attrs, "auto_pad": auto}
    pads = [min(axis[side], k - 1) for side in (3, 4) for axis, k in zip(axes, kernel, strict=True)]
    return {**attrs, "pads": pads}


def nothing_left(row):
    """Whether SAME leaves no element over: most of ONNX Runtime's pools refuse that."""
    return row[1] != "SAME_UPPER" or all((-(-n // s) - 1) * s + min(k, n) >= n for n, k, s, *_ in row[2])


def check(build, compare, row):
    """The shape inside (a Relu reads it), and the values. Tolerance: 1e-5 of the largest."""
    op, _, axes, opset = row
    nodes = [(op, ["x"], ["p"], attributes(row)), ("Relu", ["p"], ["y"], {})]
    path = build(nodes, {"x": [1, 2, *(axis[0] for axis in axes)]}, ["y"], {}, opset)
    graph = load_onnx(path)
    compare(path, graph, 1e-5)
    feeds = {"x": np.zeros(graph.shape("x"), np.float32)}
    onnx.checker.check_model(to_onnx(graph), full_check=True)
    assert FloatSession(path.read_bytes()).run(feeds)["y"].shape == graph.shape("y") == graph.shape("p")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS.filter(nothing_left))
def test_any_pool(build, compare, row):
    check(build, compare, row)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_window_that_would_begin_behind_the_picture(build, compare, op):
    check(build, compare, (op, "VALID", [(4, 1, 3, 0, 0), (3, 2, 3, 0, 0)], 17))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_one_axis_over_the_edge_and_one_behind_it(build, compare, op):
    check(build, compare, (op, "NOTSET", [(4, 2, 4, 0, 1), (4, 3, 2, 0, 0)], 17))


def test_padding_that_counts_cannot_stand_for_it(build):
    attrs = {"kernel_shape": [2, 3], "strides": [4, 2], "pads": [0, 0, 1, 0], "ceil_mode": 1, "count_include_pad": 1}
    path = build([("AveragePool", ["x"], ["p"], attrs), ("Relu", ["p"], ["y"], {})], {"x": [1, 2, 4, 4]}, ["y"])
    with pytest.raises(UnsupportedError, match="window behind the picture along one axis and over its edge along ano"):
        load_onnx(path)
