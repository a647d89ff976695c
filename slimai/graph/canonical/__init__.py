"""From ONNX operator forms (opset 17 and later) to the canonical ones of `slimai.graph.ops`.

A rule is a function ``rule(context, node) -> nodes``. It returns the nodes that replace `node`, or None
when the operator has no canonical form here; the node then keeps its ONNX form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from slimai.graph.canonical import composite, einsum, gather, matrix, move, normalization, pointwise, recurrent, spatial
from slimai.graph.canonical.context import Context
from slimai.graph.damage import at_node
from slimai.graph.ir import Graph, Node
from slimai.graph.names import distinct
from slimai.graph.ops import ONNX_FORM, TRAITS

__all__ = ["canonicalize", "canonicalize_again"]

Rule = Callable[[Context, Node], Sequence[Node] | None]

RULES: dict[str, Rule] = {
    **matrix.RULES,
    **spatial.RULES,
    **pointwise.RULES,
    **move.RULES,
    **normalization.RULES,
    **gather.RULES,
    **einsum.RULES,
    **composite.RULES,
    **recurrent.RULES,
}


def canonicalize(graph: Graph) -> Graph:
    """Return the graph with canonical operators; constants that only steered an operator are gone."""
    context = Context(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.extend(_rewrite(context, node))
    nodes = list(distinct(nodes, graph.by_name))
    return graph.edited(nodes, constants=context.constants, tensors=context.tensors.values())


def canonicalize_again(graph: Graph) -> Graph:
    """Return the graph with another try at the operators left in ONNX form, after constants were folded."""
    context = Context(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        left = node.domain == "" and node.op.startswith(ONNX_FORM)
        nodes.extend(_rewrite(context, replace(node, op=node.op[len(ONNX_FORM) :])) if left else (node,))
    nodes = list(distinct(nodes, graph.by_name))
    return graph.edited(nodes, constants=context.constants, tensors=context.tensors.values())


def _rewrite(context: Context, node: Node) -> Sequence[Node]:
    rule = RULES.get(node.op) if node.domain == "" else None
    with at_node(node.name, node.op):
        found = rule(context, node) if rule else None
    if found is not None:
        return found
    return (replace(node, op=ONNX_FORM + node.op),) if rule or (node.domain == "" and node.op in TRAITS) else (node,)
