"""Fold Mul, Div, Add and Sub by constants, one value a channel, into the layer before."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.joins import unlike_factors
from slimai.graph.passes.affine import fold_affine, layer_before
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.pattern import per_channel, split_operands


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match an arithmetic operator between a layer's output and a constant."""
    if node.op not in {"Mul", "Div", "Add", "Sub"} or (found := split_operands(graph, node)) is None:
        return None
    activation, constant, position = found
    layer = layer_before(graph, activation)
    if layer is None or graph.shape(activation) != graph.shape(node.outputs[0]):
        return None
    shape = graph.shape(activation)
    value = per_channel(graph.constants[constant], len(shape), shape[1])
    if value is None:
        return Refusal("the constant differs within a channel")
    if node.op == "Div" and position == 0:
        return Refusal("a constant divided by a tensor is not linear")
    factor, shift = as_affine(node.op, value, position)
    if unlike_factors(graph, node, factor):
        return Refusal("its factors give the parts of an output unlike ranges, which 8 bits of one layer cannot hold")
    return fold_affine(graph, layer, node, factor, shift, f"folded into {layer.op} '{layer.name}'")


def as_affine(op: str, value: Array, position: int) -> tuple[Array, Array]:
    """Return (factor, shift) of an operator by the constant `value`, [C] each; position: of the constant."""
    one, zero = np.ones_like(value), np.zeros_like(value)
    with np.errstate(divide="ignore"):
        table = {"Mul": (value, zero), "Add": (one, value), "Div": (1.0 / value if op == "Div" else one, zero)}
    if op == "Sub":
        return (one, -value) if position == 1 else (-one, value)
    return table[op]


FOLD_SCALE = Pass("fold_scale", match)
