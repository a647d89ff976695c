from __future__ import annotations

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.names import node_names, profile_names, sanitized


def graph():
    nodes = (
        Node("a/b:0", "Split", ("in:0",), ("s0", "s1"), {}),
        Node("a_b_0", "Split", ("s0",), ("t0", ""), {}),
        Node("conv", "Conv", ("s1",), ("c",), {}),
    )
    tensors = {name: TensorInfo(name, (1, 2)) for name in ("in:0", "in_0", "s0", "s1", "t0", "c")}
    return Graph("g", nodes, ("in:0", "in_0"), ("c",), tensors, {})


def test_profile_names():
    assert profile_names(graph(), {"conv": "DepthwiseConv"}) == {
        "in:0": "Input_in_0__1:0",
        "in_0": "Input_in_0__2:0",
        "s0": "Split_a_b_0__1:0",
        "s1": "Split_a_b_0__1:1",
        "t0": "Split_a_b_0__2:0",
        "c": "DepthwiseConv_conv__1:0",
    }


def test_node_names_are_unique_and_in_order():
    assert list(node_names(graph()).values()) == ["Split_a_b_0__1", "Split_a_b_0__2", "Conv_conv__1"]


def test_sanitized():
    assert sanitized("a/b c:0-d.é") == "a_b_c_0-d._"
