"""Recognise SiLU, HardSwish and Mish, x times a squashed x, however they are spelled."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.elementwise import hard_swish, mish, silu
from slimai.graph.passes.expression import fused, recognized

_SQUASHING = frozenset({"Sigmoid", "Tanh", "Exp", "Softplus", "Clip", "Relu", "Min", "HardSigmoid"})


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match x * sigmoid(x), x * hardsigmoid(x), x * tanh(softplus(x)), x * clip(x + 3, 0, 6) / 6 and the like."""
    found = recognized(graph, node, _SQUASHING, {"SiLU": silu, "HardSwish": hard_swish, "Mish": mish})
    return None if found is None else fused(graph, *found)


FUSE_ACTIVATION = Pass("fuse_activation", match, requires=("fuse_hard_sigmoid",))
