"""Recognise a Clip with one upper limit a channel as it is saved: Relu, then Min with a constant.

Not among `PASSES`: a target may lack such a clamp, and a float network that has one runs it on the host. Networks
that come quantized hold it as the clamp of an integer layer.
"""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by, per_channel, split_operands


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Min(Relu(x), limits) with positive limits that differ by nothing but the channel (axis 1)."""
    operands = split_operands(graph, node) if node.op == "Min" and not node.domain and len(node.inputs) == 2 else None
    relu = made_by(graph, operands[0], "Relu") if operands is not None else None
    shape = graph.shape(node.outputs[0])
    if operands is None or relu is None or len(shape) < 2 or graph.shape(operands[0]) != shape:
        return None
    limits = per_channel(graph.constants[operands[1]], len(shape), shape[1])
    if limits is None or not (limits > 0).all():
        return None
    problem = removable(graph, [relu], node)
    if problem:
        return Refusal(problem)
    attrs = {"lo": 0.0, "hi": tuple(limits.tolist())}
    return Replacement((Node(node.name, "Clip", relu.inputs, node.outputs, attrs),), (relu.name,), "Relu and Min")


FUSE_CHANNEL_CLIP = Pass("fuse_channel_clip", match)
