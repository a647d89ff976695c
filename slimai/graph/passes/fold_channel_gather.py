"""Fold a Gather that reorders channels into the weights of the Conv after it."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Conv(Gather(x, order, axis=1))."""
    gather = made_by(graph, node.inputs[0], "Gather") if node.op == "Conv" else None
    if gather is None or gather.domain:
        return None
    order, weight = gather.attrs["indices"], graph.constant(node.inputs[1])
    channels = graph.shape(gather.inputs[0])[1:2]
    if weight is None:
        return Refusal("the weights are computed")
    if gather.attrs["axis"] != 1 or len(gather.attrs["shape"]) != 1 or not channels:
        return Refusal("it does not pick channels")
    if node.attrs["group"] != 1:
        return Refusal("the Conv has groups")
    problem = removable(graph, [gather], node)
    if problem:
        return Refusal(problem)
    spread = np.zeros((weight.shape[0], channels[0], *weight.shape[2:]), dtype=weight.dtype)
    for position, channel in enumerate(order):
        spread[:, channel] += weight[:, position]  # a channel picked twice gets the sum
    name = f"{node.outputs[0]}_weight"
    merged = Node(node.name, "Conv", (gather.inputs[0], name, *node.inputs[2:]), node.outputs, node.attrs)
    return Replacement(
        (merged,), (gather.name,), f"Gather '{gather.name}' reorders its weights instead", {name: spread}
    )


FOLD_CHANNEL_GATHER = Pass("fold_channel_gather", match)
