"""What follows from a graph alone is found once, and not handed on to graphs that are made of it."""

from __future__ import annotations

from dataclasses import replace

from slimai.graph.facts import once_a_graph
from slimai.graph.ir import Graph, Node, TensorInfo

GRAPH = Graph("g", (Node("a", "Relu", ("x",), ("y",)),), ("x",), ("y",), {"x": TensorInfo("x", (1, 2))}, {})


def test_found_once_for_each_argument():
    asked = []

    @once_a_graph
    def sizes(graph: Graph, extra: int = 0) -> int:
        asked.append((graph.name, extra))
        return len(graph.nodes) + extra

    first, second = replace(GRAPH), replace(GRAPH, nodes=())
    assert [sizes(first), sizes(first), sizes(first, 2), sizes(first, extra=2), sizes(second)] == [1, 1, 3, 3, 0]
    assert asked == [("g", 0), ("g", 2), ("g", 2), ("g", 0)]
