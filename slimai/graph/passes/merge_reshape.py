"""Make two Reshapes in a row one."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Reshape(Reshape(x))."""
    first = made_by(graph, node.inputs[0], "Reshape") if node.op == "Reshape" else None
    if first is None:
        return None
    problem = removable(graph, [first], node)
    if problem:
        return Refusal(problem)
    new = Node(node.name, "Reshape", first.inputs, node.outputs, node.attrs)
    return Replacement((new,), (first.name,), f"it hides the shape that '{first.name}' gives")


MERGE_RESHAPE = Pass("merge_reshape", match)
