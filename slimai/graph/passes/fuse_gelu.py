"""Recognise GELU, by erf or by tanh, however it is spelled; x sigmoid(1.702 x) is another function."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.elementwise import gelu, gelu_tanh
from slimai.graph.passes.expression import fused, recognized

_SQUASHING = frozenset({"Erf", "Tanh", "Sigmoid", "Exp"})


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match x / 2 (1 + erf(x / sqrt 2)) and x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    found = recognized(graph, node, _SQUASHING, {"none": gelu, "tanh": gelu_tanh})
    return None if found is None else fused(graph, found[0], "Gelu", {"approximate": found[1]})


FUSE_GELU = Pass("fuse_gelu", match)
