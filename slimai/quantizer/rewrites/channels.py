"""Groups of tensors whose channels may be rescaled together without changing what the network computes.

A channel (axis 1) of a tensor can be divided by s > 0 when everything that writes it can take 1/s into its weights,
and everything that reads it s. Operators that commute with a positive factor a channel (Relu, pooling, Add of two
tensors ...) tie the tensors around them into one group; any other reader or writer forbids the group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS, channel_limits, is_canonical, traits_of


@dataclass
class ChannelGroup:
    """Tensors that share one factor a channel: `writers` have it in their rows, `readers` in their columns.

    forbidden: why the group cannot be rescaled, or an empty string. clamps: Clip nodes inside (with finite,
    positive `hi`, or one such limit a channel, and `lo` 0), which need one limit a channel afterwards.
    """

    tensors: list[str] = field(default_factory=list)
    writers: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)
    clamps: list[Node] = field(default_factory=list)
    forbidden: str = ""


def channel_groups(graph: Graph) -> list[ChannelGroup]:
    """Return the groups of all activations with at least two axes, in graph order."""
    parent = {name: name for name in graph.activations()}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in graph.nodes:
        for name in _shared(graph, node):
            first, second = sorted((find(node.outputs[0]), find(name)), key=list(parent).index)
            parent[second] = first
    groups: dict[str, ChannelGroup] = {}
    for name in graph.activations():
        groups.setdefault(find(name), ChannelGroup()).tensors.append(name)
    by_tensor = {name: group for group in groups.values() for name in group.tensors}
    _forbid(graph, by_tensor)
    return list(groups.values())


def _shared(graph: Graph, node: Node) -> list[str]:
    """Return the inputs whose channels are the channels of the node's output."""
    if not is_canonical(node):
        return []
    reads = [name for name in node.inputs if name and name not in graph.constants]
    if _commutes(graph, node) or _clamp_at_zero(node):
        return reads
    return []


def _commutes(graph: Graph, node: Node) -> bool:
    """Return whether the node's output has the factors that all its activation inputs have."""
    factor = TRAITS[node.op].factor
    return FORMULAS[node.op](graph, node) if factor == "formula" else factor == "always"


def _pad(graph: Graph, node: Node) -> bool:
    return node.attrs["value"] == 0.0 and _channel_axis_untouched(node, len(graph.shape(node.outputs[0])))


def _mean(graph: Graph, node: Node) -> bool:
    del graph
    return 1 not in node.attrs["axes"] and 0 not in node.attrs["axes"] and bool(node.attrs["keepdims"])


def _sum(graph: Graph, node: Node) -> bool:
    shape = graph.shape(node.outputs[0])
    return all(name not in graph.constants and graph.shape(name) == shape for name in node.inputs)


def channels_stay(graph: Graph, node: Node) -> bool:
    """Return whether a Reshape is [1, C, 1, 1] <-> [1, C]: the channels stay the channels."""
    before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    return before[:2] == after[:2] and {*before[2:], *after[2:]} <= {1}


# Of the operators whose row in `slimai.graph.ops` says `formula`.
FORMULAS: Mapping[str, Callable[[Graph, Node], bool]] = {
    "Pad": _pad,
    "ReduceMean": _mean,
    "Add": _sum,
    "Sub": _sum,
    "Reshape": channels_stay,
}


def _channel_axis_untouched(node: Node, rank: int) -> bool:
    pads = node.attrs["pads"]
    return not any((pads[0], pads[1], pads[rank], pads[rank + 1]))


def _clamp_at_zero(node: Node) -> bool:
    if node.op != "Clip" or node.attrs["lo"] != 0.0:
        return False
    return min(channel_limits(node) or (node.attrs["hi"],)) > 0.0


def _forbid(graph: Graph, by_tensor: Mapping[str, ChannelGroup]) -> None:
    """Fill in writers and readers, and mark the groups that something stands against."""
    for name in graph.inputs:
        _mark(by_tensor[name], "holds a network input")
    for name in set(graph.outputs) & by_tensor.keys():  # an output may be a constant
        _mark(by_tensor[name], "holds a network output")
    for node in graph.nodes:
        if _clamp_at_zero(node):
            by_tensor[node.outputs[0]].clamps.append(node)
        elif _is_layer(graph, node):
            by_tensor[node.outputs[0]].writers.append(node)
            by_tensor[node.inputs[0]].readers.append(node)
        elif not (is_canonical(node) and _commutes(graph, node)):
            for name in (*node.inputs, *node.outputs):
                if name in by_tensor:
                    _mark(by_tensor[name], f"{node.op} {node.name} does not commute with a factor a channel")


def _mark(group: ChannelGroup, why: str) -> None:
    group.forbidden = group.forbidden or why


def _is_layer(graph: Graph, node: Node) -> bool:
    """Return whether the node is a matrix operator with constant weights whose channels are rows and columns."""
    traits = traits_of(node)
    if traits is None or not traits.has_bias or node.inputs[1] not in graph.constants:
        return False
    if len(node.inputs) > 2 and node.inputs[2] and node.inputs[2] not in graph.constants:
        return False
    if node.op == "Gemm":
        return len(graph.shape(node.inputs[0])) == 2
    return True
