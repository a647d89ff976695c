"""Recognise Sigmoid, 1 / (1 + exp(-x)), however it is spelled."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.elementwise import sigmoid
from slimai.graph.passes.expression import fused, recognized


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match 1 / (1 + exp(-x)) and (1 + tanh(x / 2)) / 2."""
    found = recognized(graph, node, frozenset({"Exp", "Tanh"}), {"Sigmoid": sigmoid})
    return None if found is None else fused(graph, found[0], "Sigmoid")


FUSE_SIGMOID = Pass("fuse_sigmoid", match)
