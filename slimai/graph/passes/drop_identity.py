"""Drop operators that change nothing: a Reshape to the shape that the tensor has."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match a Reshape whose input and output have one shape."""
    if node.op != "Reshape" or graph.shape(node.inputs[0]) != graph.shape(node.outputs[0]):
        return None
    source, target = node.inputs[0], node.outputs[0]
    if target not in graph.outputs:
        return Replacement((), (), "it changes nothing", renamed={target: source})
    producer = graph.producers.get(source)
    if producer is None or source in graph.outputs:
        return Refusal("it connects a network output with an input, a constant or another output")
    return Replacement((), (), "it changes nothing", renamed={source: target})


DROP_IDENTITY = Pass("drop_identity", match)
