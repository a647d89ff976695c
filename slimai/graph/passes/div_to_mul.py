"""Make a Div by a constant a Mul by its reciprocal: one rounding of float32 apart, and an integer kernel."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.pattern import split_operands


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Div(x, c) with a constant c of float32."""
    if node.op != "Div" or node.domain or (found := split_operands(graph, node)) is None or found[2] == 0:
        return None
    value = graph.constants[found[1]]
    if value.dtype != np.float32:
        return None
    with np.errstate(divide="ignore", over="ignore"):
        factor = (1.0 / value.astype(np.float64)).astype(np.float32)
    normal = np.isfinite(factor) & (np.abs(factor) >= np.finfo(np.float32).tiny)
    if not normal.all():
        return Refusal("the constant has no reciprocal in float32")
    name = f"{node.outputs[0]}_factor"
    mul = Node(node.name, "Mul", (found[0], name), node.outputs)
    return Replacement((mul,), (), "a Mul by the reciprocal", {name: factor})


DIV_TO_MUL = Pass("div_to_mul", match, requires=("fold_scale",))
