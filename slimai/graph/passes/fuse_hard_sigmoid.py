"""Recognise HardSigmoid: a sum clipped at 0 and scaled to end at 1."""

from __future__ import annotations

from math import isclose
from typing import NamedTuple

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by, scalar, split_operands, unscaled


class ClippedSum(NamedTuple):
    """clip(slope * source + offset, 0, top), and the nodes that compute it."""

    source: str
    slope: float
    offset: float
    top: float
    nodes: tuple[Node, ...]


def clipped_sum(graph: Graph, name: str) -> ClippedSum | None:
    """Return the parts of clip(slope * x + offset, 0, top), or None when `name` is something else."""
    clip = made_by(graph, name, "Clip")
    add = made_by(graph, clip.inputs[0], "Add") if clip is not None and clip.attrs["lo"] == 0.0 else None
    operands = split_operands(graph, add) if add is not None else None
    if clip is None or add is None or operands is None or (offset := scalar(graph, operands[1])) is None:
        return None
    source, slope, scaling = unscaled(graph, operands[0])
    if slope.size != 1:
        source, scaling, value = operands[0], (), 1.0
    else:
        value = slope.item()
    return ClippedSum(source, value, offset, clip.attrs["hi"], (*scaling[::-1], add, clip))


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match k * clip(a * x + b, 0, c) with k * c = 1, and the same without k."""
    name, factor, scaling = unscaled(graph, node.outputs[0])
    found = clipped_sum(graph, name)
    if found is None or factor.size != 1 or not isclose(factor.item() * found.top, 1.0, rel_tol=1e-6):
        return None
    if node not in (*scaling[:1], found.nodes[-1]) or (scaling and node.name != scaling[0].name):
        return None
    gone = [item for item in (*found.nodes, *scaling) if item.name != node.name]
    problem = removable(graph, gone, node)
    if problem:
        return Refusal(problem)
    attrs = {"alpha": factor.item() * found.slope, "beta": factor.item() * found.offset}
    new = Node(node.name, "HardSigmoid", (found.source,), node.outputs, attrs)
    return Replacement((new,), tuple(item.name for item in gone), "HardSigmoid spelled with Add, Clip and a factor")


FUSE_HARD_SIGMOID = Pass("fuse_hard_sigmoid", match)
