"""Recognise PRelu (one slope: LeakyRelu) from relu(x) plus a scaled negative part."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by, unscaled


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match relu(x) + k * (x - |x|) with slope 2k, and relu(x) + k * relu(-x) with slope -k."""
    if node.op not in {"Add", "Sub"}:
        return None
    pairs = [node.inputs] if node.op == "Sub" else [node.inputs, node.inputs[::-1]]
    for positive, other in pairs:
        relu = made_by(graph, positive, "Relu")
        part = _negative_part(graph, other, relu.inputs[0]) if relu is not None else None
        if relu is not None and part is not None:
            slope, gone = part
            return _replaced(graph, node, relu, -slope if node.op == "Sub" else slope, [relu, *gone])
    return None


def _negative_part(graph: Graph, name: str, x: str) -> tuple[Array, list[Node]] | None:
    """Return (slope, nodes) when `name` is slope * min(x, 0)."""
    root, factor, scaling = unscaled(graph, name)
    node = graph.producers.get(root)
    if node is None:
        return None
    if node.op == "Sub":
        for sign, (a, b) in ((2.0, node.inputs), (-2.0, node.inputs[::-1])):
            absolute = made_by(graph, b, "Abs")
            if a == x and absolute is not None and absolute.inputs[0] == x:
                return factor * sign, [absolute, node, *scaling]
    if node.op == "Relu":
        negative = made_by(graph, node.inputs[0], "Neg")
        if negative is not None and negative.inputs[0] == x:
            return -factor, [negative, node, *scaling]
    return None


def _replaced(graph: Graph, node: Node, relu: Node, slope: Array, gone: list[Node]) -> Replacement | Refusal:
    problem = removable(graph, gone, node)
    if problem:
        return Refusal(problem)
    x, shape = relu.inputs[0], graph.shape(relu.inputs[0])
    removed = tuple(item.name for item in gone)
    if slope.size == 1:
        leaky = Node(node.name, "LeakyRelu", (x,), node.outputs, {"alpha": float(slope.reshape(-1)[0])})
        return Replacement((leaky,), removed, "LeakyRelu spelled with Relu and its negative part")
    if slope.ndim > len(shape) or np.broadcast_shapes(slope.shape, shape) != shape:
        return Refusal("the slope is larger than the tensor")
    name = f"{node.outputs[0]}_slope"
    prelu = Node(node.name, "PRelu", (x, name), node.outputs)
    return Replacement(
        (prelu,), removed, "PRelu spelled with Relu and its negative part", {name: slope.astype(np.float32)}
    )


FUSE_PRELU = Pass("fuse_prelu", match)
