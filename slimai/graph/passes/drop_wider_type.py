"""Take away the Casts to a wider float type and back around an operator: float32 holds what it computes, too."""

from __future__ import annotations

from dataclasses import replace

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by

# One operand; results that float32 holds, to its own precision, wherever it holds the operand.
_SAFE = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Relu"})


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Cast(op(Cast(x))) of a float32 tensor x that float64 is computed from, back to float32."""
    if not _changes(graph, node, "float64", "float32"):
        return None
    inner = graph.producers.get(node.inputs[0])
    first = made_by(graph, inner.inputs[0], "Cast") if inner is not None and inner.op in _SAFE else None
    if inner is None or first is None or inner.domain or not _changes(graph, first, "float32", "float64"):
        return None
    problem = removable(graph, [inner], node)
    if problem:
        return Refusal(problem)
    new = replace(inner, inputs=first.inputs, outputs=node.outputs)
    spare = () if removable(graph, [first], inner) else (first.name,)
    return Replacement((new,), (inner.name, *spare), "float32 holds what it computes")


def _changes(graph: Graph, node: Node, old: str, new: str) -> bool:
    """Return whether the node is a Cast from one type to another."""
    if node.op != "Cast" or node.domain:
        return False
    return (graph.tensors[node.inputs[0]].dtype, graph.tensors[node.outputs[0]].dtype) == (old, new)


DROP_WIDER_TYPE = Pass("drop_wider_type", match)
