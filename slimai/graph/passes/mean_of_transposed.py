"""Take a mean behind the Transpose that both it and what it belongs to pass through.

    Transpose(ReduceMean(x, axes), perm), Transpose(x, perm)  ->  x' = Transpose(x, perm), ReduceMean(x', axes')

Converters write a normalization over channels so: the mean in the order of axes before, the rest in the order behind.
"""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Replacement
from slimai.graph.passes.pattern import made_by


def match(graph: Graph, node: Node) -> Replacement | None:
    """Match the later of the two Transposes."""
    if node.op != "Transpose" or node.domain:
        return None
    for turned, moved in _pairs(graph, node):
        mean = made_by(graph, moved.inputs[0], "ReduceMean")
        if mean is None or not _alone(graph, mean, moved, node):
            continue
        perm = tuple(turned.attrs["perm"])
        axes = tuple(sorted(perm.index(axis) for axis in mean.attrs["axes"]))
        behind = Node(mean.name, "ReduceMean", turned.outputs, moved.outputs, {"axes": axes, "keepdims": 1})
        nodes = (turned, behind) if node.name == turned.name else (behind,)
        gone = tuple(item.name for item in (mean, moved) if item.name != node.name)
        return Replacement(nodes, gone, f"ReduceMean '{mean.name}' reads what '{turned.name}' gives")
    return None


def _pairs(graph: Graph, node: Node) -> list[tuple[Node, Node]]:
    """Return (Transpose of x, Transpose of its mean) of which `node` is the one that comes later."""
    place = {item.name: number for number, item in enumerate(graph.nodes)}
    mean = made_by(graph, node.inputs[0], "ReduceMean")
    found = []
    if mean is not None:
        found += [(other, node) for other in graph.consumers.get(mean.inputs[0], ()) if _is_twin(other, node)]
    for item in graph.consumers.get(node.inputs[0], ()):
        if item.op == "ReduceMean" and not item.domain:
            found += [(node, other) for other in graph.consumers.get(item.outputs[0], ()) if _is_twin(other, node)]
    return [pair for pair in found if max(place[item.name] for item in pair) == place[node.name]]


def _is_twin(other: Node, node: Node) -> bool:
    same = other.op == "Transpose" and not other.domain and other.name != node.name
    return same and tuple(other.attrs["perm"]) == tuple(node.attrs["perm"])


def _alone(graph: Graph, mean: Node, moved: Node, last: Node) -> bool:
    """Return whether the mean keeps its axes, only `moved` reads it, and nothing reads `moved` before `last`."""
    if not mean.attrs["keepdims"] or mean.outputs[0] in graph.outputs or len(graph.consumers[mean.outputs[0]]) != 1:
        return False
    before = {item.name for item in graph.nodes[: graph.nodes.index(last)]}
    return not any(item.name in before for item in graph.consumers.get(moved.outputs[0], ()))


MEAN_OF_TRANSPOSED = Pass("mean_of_transposed", match)
