"""Take the two Reshapes away from a Softmax that was flattened to matrices, as before opset 13."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Reshape(Softmax(Reshape(x))) back to the shape of x, with the Softmax along the last axis."""
    softmax = made_by(graph, node.inputs[0], "Softmax") if node.op == "Reshape" else None
    first = made_by(graph, softmax.inputs[0], "Reshape") if softmax is not None else None
    if softmax is None or first is None:
        return None
    shape, inner = graph.shape(first.inputs[0]), graph.shape(softmax.inputs[0])
    if graph.shape(node.outputs[0]) != shape:
        return None
    if softmax.attrs["axis"] != len(inner) - 1 or shape[-1] != inner[-1]:
        return Refusal("the Softmax runs over several axes")
    problem = removable(graph, [first, softmax], node)
    if problem:
        return Refusal(problem)
    new = Node(softmax.name, "Softmax", (first.inputs[0],), node.outputs, {"axis": len(shape) - 1})
    return Replacement((new,), (first.name, softmax.name), "the last axis is the same without the Reshapes")


UNWRAP_SOFTMAX = Pass("unwrap_softmax", match)
