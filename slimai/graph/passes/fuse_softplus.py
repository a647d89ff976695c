"""Recognise Softplus, log(1 + exp(x)), however it is spelled."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.elementwise import softplus
from slimai.graph.passes.expression import fused, recognized


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match log(1 + exp(x)), max(x, 0) + log(1 + exp(-|x|)) and the like."""
    found = recognized(graph, node, frozenset({"Log", "Softplus"}), {"Softplus": softplus})
    return None if found is None else fused(graph, found[0], "Softplus")


FUSE_SOFTPLUS = Pass("fuse_softplus", match)
