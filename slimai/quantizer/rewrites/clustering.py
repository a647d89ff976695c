"""Channel clustering: before a depthwise convolution, channels of like range become layers of their own.

A tensor has one scale, so a channel that stays below 1 beside one that reaches 100 has two or three integers left.
Equalization cures that where the activation commutes with a factor; SiLU or HardSwish do not. A depthwise convolution
keeps channels apart, though: convolution, activation, depthwise convolution and activation can be run a cluster of
channels at a time, each with its own scales, and be put together behind in the order of the clusters; the convolution
that reads the result takes that order into its columns. What the network computes and its multiplications stay the
same; the price is more, smaller layers and one Concat. Reordering channels by their range is the idea of Yuan et al.
2023, RPTQ: Reorder-based Post-training Quantization for Large Language Models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.ops import TRAITS, channel_limits, is_canonical, is_clamp, is_depthwise, traits_of
from slimai.quantizer.params import IntType
from slimai.quantizer.plan import Decision
from slimai.quantizer.rewrites.clusters import clusters

Vector = NDArray[np.float64]


Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Chain:
    """Convolution, activations, depthwise convolution, activations, and the convolutions that read the end.

    nodes: from the first convolution to the last activation, each the only reader of the one before.
    """

    nodes: tuple[Node, ...]
    depthwise: Node
    readers: tuple[Node, ...]

    @property
    def read(self) -> str:
        """The tensor that the depthwise convolution reads."""
        return self.depthwise.inputs[0]

    @property
    def evened(self) -> bool:
        """Whether other means even out its ranges: all its activations commute with a factor, or clamp."""
        return all(node.op == "Conv" or is_clamp(node) or TRAITS[node.op].factor == "always" for node in self.nodes)

    @property
    def end(self) -> str:
        """The tensor that the readers read."""
        return self.nodes[-1].outputs[0]


@dataclass(frozen=True)
class Clustered:
    """The rewritten network, what was done, and where its nodes come from.

    origin: new node -> the node of the given network that it is a part of, or whose parts it puts together (`joins`).
    """

    graph: Graph
    decisions: tuple[Decision, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    joins: frozenset[str] = frozenset()

    def after(self, first: Clustered) -> Clustered:
        """Return both rewrites as one; `first` has made the network that this one was made of."""
        own = {name: first.origin.get(source, source) for name, source in self.origin.items()}
        earlier = {name: source for name, source in first.origin.items() if name in self.graph.by_name}
        joins = {name for name in first.joins if name in earlier}.union(
            name for name, source in self.origin.items() if source in first.joins
        )
        return replace(self, origin=earlier | own, joins=self.joins | joins)

    def spread(self, datatypes: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Return node -> (bits read, bits written) for the new nodes, as they were said of the given network's."""
        found = dict(datatypes)
        for name, source in self.origin.items():
            if source in datatypes and name not in datatypes:
                reads, writes = datatypes[source]
                found[name] = (writes if name in self.joins else reads, writes)
        return found

    def spread_weights(self, weights: Mapping[str, IntType]) -> dict[str, IntType]:
        """Return node -> type of its weights for the new nodes, as it was said of the given network's."""
        parts = {name: weights[source] for name, source in self.origin.items() if source in weights}
        return {**parts, **weights}


def chains(graph: Graph, *, everywhere: bool = False) -> Iterator[Chain]:
    """Yield the places where channels can be clustered, in graph order; everywhere: as in `cluster_channels`."""
    for node in graph.nodes:
        if is_canonical(node) and is_depthwise(graph, node):
            chain = _chain(graph, node)
            if chain is not None and (everywhere or not chain.evened):
                yield chain


def cluster_channels(graph: Graph, magnitudes: Mapping[str, Vector], *, everywhere: bool = False) -> Clustered:
    """Return the network with channels clustered wherever that evens out their ranges enough.

    magnitudes: activation -> [C] largest |value| of each channel over some images. everywhere: also in the chains that
    equalization evens out, or whose ranges a clamp bounds. How many clusters a place gets, if any, is
    `slimai.quantizer.rewrites.clusters.clusters`' answer.
    """
    decisions: list[Decision] = []
    origin: dict[str, str] = {}
    joins: set[str] = set()
    for name in [chain.depthwise.name for chain in chains(graph, everywhere=everywhere)]:
        chain = _chain(graph, graph.by_name[name])  # anew: the cut before may have reordered its first columns
        found = clusters((magnitudes[chain.read], magnitudes[chain.end])) if chain else ()
        if chain and len(found) > 1:
            split = _Split(graph, chain, found)
            graph, origin = split.graph, origin | split.origin
            joins.add(split.join)
            decisions.append(_told(chain, found))
    return Clustered(graph, tuple(decisions), origin, frozenset(joins))


def _chain(graph: Graph, depthwise: Node) -> Chain | None:
    """Return the chain around a depthwise convolution, or None where there is none."""
    if graph.shape(depthwise.inputs[0])[1] != graph.shape(depthwise.outputs[0])[1] or not _own(graph, depthwise):
        return None
    nodes = [depthwise]
    while True:
        before = graph.producers.get(nodes[0].inputs[0])
        if before is None or graph.only_consumer(before.outputs[0]) is not nodes[0]:
            return None
        nodes.insert(0, before)
        if _is_first(graph, before):
            break
        if not _treats_alike(before):
            return None
    while (after := graph.only_consumer(nodes[-1].outputs[0])) is not None and _treats_alike(after):
        nodes.append(after)
    end = nodes[-1].outputs[0]
    readers = graph.consumers.get(end, ())
    fit = bool(readers) and end not in graph.outputs and all(_is_reader(graph, node, end) for node in readers)
    return Chain(tuple(nodes), depthwise, readers) if fit else None


def _treats_alike(node: Node) -> bool:
    traits = traits_of(node)
    return traits is not None and traits.alike_by_channel and channel_limits(node) is None


def _is_first(graph: Graph, node: Node) -> bool:
    return is_canonical(node) and node.op == "Conv" and node.attrs["group"] == 1 and _own(graph, node)


def _is_reader(graph: Graph, node: Node, tensor: str) -> bool:
    return _is_first(graph, node) and node.inputs[0] == tensor


def _own(graph: Graph, node: Node) -> bool:
    """Return whether weights and bias are constants that no other node reads, the bias one number a channel."""
    names = [name for name in node.inputs[1:] if name]
    constant = all(name in graph.constants and len(graph.consumers[name]) == 1 for name in names)
    sizes = {graph.constants[name].shape[0] for name in names} if constant else set()
    return constant and sizes == {graph.shape(node.outputs[0])[1]} and not node.attrs.get("channels_last", 0)


class _Split:
    """One chain replaced by one a cluster, with their ends put together."""

    def __init__(self, graph: Graph, chain: Chain, found: tuple[Indices, ...]) -> None:
        self.source = graph
        self.chain, self.found = chain, found
        self.constants: dict[str, Array] = {}
        self.tensors: list[TensorInfo] = []
        self.taken = {*graph.tensors, *graph.by_name}
        self.made: dict[str, list[Node]] = {node.name: [] for node in chain.nodes}
        ends = [self._cluster(place, channels) for place, channels in enumerate(found)]
        joined = self._joined(tuple(ends))
        self.origin = {part.name: name for name, nodes in self.made.items() for part in nodes}
        self.join = self.made[chain.nodes[-1].name][-1].name
        for node in chain.readers:
            self.made[node.name] = [self._reordered(node, joined)]
        nodes = [made for node in graph.nodes for made in self.made.get(node.name, [node])]
        self.graph = graph.edited(nodes, constants=self.constants, tensors=self.tensors)

    def _cluster(self, place: int, channels: Indices) -> str:
        """Make the chain of one cluster; return the tensor at its end."""
        tensor = self.chain.nodes[0].inputs[0]
        for node in self.chain.nodes:
            part = self._part(node, place, channels, tensor)
            self.made[node.name].append(part)
            tensor = part.outputs[0]
        return tensor

    def _part(self, node: Node, place: int, channels: Indices, tensor: str) -> Node:
        """Return the node for some of its channels, reading `tensor`."""
        constants = self.source.constants
        rows = [
            self._constant(f"{name}_c{place}", constants[name][channels]) if name else "" for name in node.inputs[1:]
        ]
        output = self._tensor(f"{node.outputs[0]}_c{place}", node.outputs[0], len(channels))
        attrs = {**node.attrs, "group": len(channels)} if node is self.chain.depthwise else node.attrs
        return replace(
            node, name=self._fresh(f"{node.name}_c{place}"), inputs=(tensor, *rows), outputs=(output,), attrs=attrs
        )

    def _joined(self, ends: tuple[str, ...]) -> str:
        """Put the ends together behind the last node; return the tensor of all channels."""
        last = self.chain.nodes[-1].name
        tensor = self._tensor(f"{self.chain.end}_clustered", self.chain.end, sum(map(len, self.found)))
        self.made[last].append(Node(self._fresh(f"{last}_clustered"), "Concat", ends, (tensor,), {"axis": 1}))
        return tensor

    def _reordered(self, node: Node, tensor: str) -> Node:
        """Return a reader with its columns in the order of the clusters."""
        columns = self.source.constants[node.inputs[1]][:, np.concatenate(self.found)]
        weights = self._constant(f"{node.inputs[1]}_ordered", columns)
        return replace(node, inputs=(tensor, weights, *node.inputs[2:]))

    def _constant(self, name: str, value: Array) -> str:
        fresh = self._fresh(name)
        self.constants[fresh] = np.ascontiguousarray(value)
        return fresh

    def _tensor(self, name: str, like: str, channels: int) -> str:
        fresh, info = self._fresh(name), self.source.tensors[like]
        self.tensors.append(TensorInfo(fresh, (info.shape[0], channels, *info.shape[2:]), info.dtype))
        return fresh

    def _fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def _told(chain: Chain, found: tuple[Indices, ...]) -> Decision:
    sizes = ", ".join(str(len(channels)) for channels in found)
    names = ", ".join(node.name for node in chain.nodes)
    why = f"clusters of {sizes} channels, put together for {', '.join(node.name for node in chain.readers)}"
    return Decision(names, "channels clustered by range", why)
