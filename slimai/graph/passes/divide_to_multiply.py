"""A division by a constant is a multiplication by its reciprocal, which integer hardware has."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.pattern import split_operands


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match x / c with a constant c, and 1 / x."""
    if node.op != "Div" or node.domain or (found := split_operands(graph, node)) is None:
        return None
    activation, constant, position = found
    value = graph.constants[constant]
    if value.dtype != np.float32:
        return None
    if position == 0:
        if not (value == 1.0).all() or graph.shape(activation) != graph.shape(node.outputs[0]):
            return None
        return Replacement((Node(node.name, "Reciprocal", (activation,), node.outputs),), (), "one divided by a tensor")
    with np.errstate(divide="ignore", over="ignore"):
        factor = (1.0 / value.astype(np.float64)).astype(np.float32)
    if not np.isfinite(factor).all():
        return Refusal("the reciprocal of the divisor is not finite")
    name = f"{node.outputs[0]}_reciprocal"
    product = Node(node.name, "Mul", (activation, name), node.outputs)
    return Replacement((product,), (), "division by a constant", {name: factor})


DIVIDE_TO_MULTIPLY = Pass("divide_to_multiply", match, requires=("fold_scale", "fuse_activation"))
