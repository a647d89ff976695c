"""Questions that several rewrites ask about the graph around a node."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Array, Graph, Node


def made_by(graph: Graph, name: str, op: str) -> Node | None:
    """Return the node that computes `name`, when it is an `op`."""
    node = graph.producers.get(name)
    return node if node is not None and node.op == op else None


def scalar(graph: Graph, name: str) -> float | None:
    """Return the value of a float constant with one element."""
    value = graph.constant(name)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 and value.dtype.kind == "f" else None


def split_operands(graph: Graph, node: Node) -> tuple[str, str, int] | None:
    """Return (activation, constant, position of the constant) of a two-operand node that has one of each."""
    a, b = node.inputs
    if b in graph.constants and a not in graph.constants:
        return a, b, 1
    if a in graph.constants and b not in graph.constants:
        return b, a, 0
    return None


def unscaled(graph: Graph, name: str) -> tuple[str, Array, tuple[Node, ...]]:
    """Return (tensor, factor, nodes) such that `name` = tensor * factor, walking up through Mul, Div and Neg."""
    factor: Array = np.array(1.0)
    nodes: list[Node] = []
    while (node := graph.producers.get(name)) is not None:
        if node.op == "Neg":
            factor, name = -factor, node.inputs[0]
        elif node.op in {"Mul", "Div"} and (found := split_operands(graph, node)) is not None:
            activation, constant, position = found
            if node.op == "Div" and position == 0:
                break
            value = graph.constants[constant].astype(np.float64)
            factor, name = (factor * value if node.op == "Mul" else factor / value), activation
        else:
            break
        nodes.append(node)
    return name, factor, tuple(nodes)


def per_channel(value: Array, rank: int, channels: int, axis: int = 1) -> Array | None:
    """Return the [channels] float64 vector that a constant adds along `axis`, or None when it varies elsewhere."""
    shape = (1,) * (rank - value.ndim) + value.shape
    if len(shape) > rank or any(size != 1 for place, size in enumerate(shape) if place != axis):
        return None
    if shape[axis] not in {1, channels}:
        return None
    return np.broadcast_to(value.reshape(-1).astype(np.float64), (channels,))
