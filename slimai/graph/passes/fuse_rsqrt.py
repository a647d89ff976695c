"""Recognise the reciprocal of a square root, which has no operator of its own in ONNX."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match 1 / sqrt(x); one over a tensor is a Reciprocal by now."""
    root = made_by(graph, node.inputs[0], "Sqrt") if node.op == "Reciprocal" and not node.domain else None
    if root is None:
        return None
    problem = removable(graph, [root], node)
    if problem:
        return Refusal(problem)
    return Replacement((Node(node.name, "Rsqrt", root.inputs, node.outputs),), (root.name,), "Sqrt and Reciprocal")


FUSE_RSQRT = Pass("fuse_rsqrt", match, requires=("divide_to_multiply",))
