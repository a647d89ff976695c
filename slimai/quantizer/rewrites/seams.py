"""A depthwise convolution behind a join is split at its seams, so that each part keeps a scale of its own.

A Concat puts channels of unlike range on one grid, and so does a sum of joins; a depthwise convolution (batch
normalization behind a join is one, of 1 x 1) that reads them finds two or three integers in the small parts. It keeps
channels apart, and so do activations, pools, resizing, padding, slices and sums in front of it: the same can be
computed on the parts before they are joined, and joined behind. The network's function and multiplications stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.ops import channel_limits, is_canonical, is_depthwise, traits_of
from slimai.quantizer.plan import Decision
from slimai.quantizer.rewrites.clustering import Clustered
from slimai.quantizer.rewrites.clusters import bits_below, contiguous_clusters

AXIS = 1  # of channels
_SPATIAL = ("MaxPool", "AveragePool", "Resize", "Pad")
_SUMS = ("Add", "Sub")


def joined_depthwise(graph: Graph) -> list[str]:
    """Return the names of the depthwise convolutions that read a join, in graph order."""
    return [node.name for node in graph.nodes if _splits(graph, node) and seams(graph, node.inputs[0])]


def split_at_seams(graph: Graph, magnitudes: Mapping[str, NDArray[np.float64]]) -> Clustered:
    """Return the network with depthwise convolutions split at the seams of what they read, where that pays.

    magnitudes: activation -> [C] largest |value| of each channel over some images. A seam stays where cutting there
    saves as many bits a channel as one more cluster has to (`slimai.quantizer.rewrites.clusters`).
    """
    found, decisions = Clustered(graph), []
    for name in joined_depthwise(graph):
        node = found.graph.by_name[name]
        ranges = bits_below(magnitudes[node.inputs[0]])
        cuts = () if ranges is None else contiguous_clusters(ranges, seams(found.graph, node.inputs[0]))
        if not cuts:
            continue
        split = _Split(found.graph, node, cuts)
        found = Clustered(split.graph, (), split.origin, frozenset({split.join})).after(found)
        sizes = ", ".join(str(high - low) for low, high in split.pieces)
        where = ", ".join(item.name for item in split.tail)
        decisions.append(Decision(where, "split at the seams of a join", f"parts of {sizes} channels, joined behind"))
    return replace(found, decisions=tuple(decisions))


def seams(graph: Graph, tensor: str) -> tuple[int, ...]:
    """Return the channels, ascending, at which parts begin that a join above has put together; 0 is none."""
    return _seams(graph, tensor, {})


def _seams(graph: Graph, tensor: str, known: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    if tensor not in known:
        known[tensor] = _new_seams(graph, tensor, known)
    return known[tensor]


def _new_seams(graph: Graph, tensor: str, known: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    node = graph.producers.get(tensor)
    if node is None or not is_canonical(node) or len(graph.shape(tensor)) < AXIS + 2:
        return ()
    if node.op == "Concat" and node.attrs["axis"] == AXIS:
        starts = [int(at) for at in np.cumsum([0, *(graph.shape(name)[AXIS] for name in node.inputs)])]
        pairs = list(zip(starts, node.inputs, strict=False))
        inner = {start + at for start, name in pairs for at in _seams(graph, name, known)}
        return tuple(sorted(inner.union(starts[1:-1])))
    if _is_sum(graph, node):
        return tuple(sorted({at for name in node.inputs for at in _seams(graph, name, known)}))
    if _is_cut(node):
        low, high = _kept(graph, node, tensor)
        return tuple(at - low for at in _seams(graph, node.inputs[0], known) if low < at < high)
    return _seams(graph, node.inputs[0], known) if _keeps_apart(graph, node) else ()


def _splits(graph: Graph, node: Node) -> bool:
    """Return whether the node is a depthwise convolution, one output a channel, with constant weights and bias."""
    if not is_canonical(node) or not is_depthwise(graph, node) or node.attrs.get("channels_last", 0):
        return False
    shapes = [graph.constants[name].shape for name in node.inputs[1:] if name in graph.constants]
    channels = graph.shape(node.inputs[0])[AXIS]
    given = [name for name in node.inputs[1:] if name]
    return len(shapes) == len(given) and all(shape[0] == channels for shape in shapes)


def _keeps_apart(graph: Graph, node: Node) -> bool:
    """Return whether each output channel is the same function of one input channel, slopes of a PRelu apart."""
    traits = traits_of(node)
    if traits is None or node.attrs.get("channels_last", 0) or node.attrs.get("integers_kept", 0):
        return False
    if node.op == "PRelu":
        return node.inputs[1] in graph.constants
    if node.op == "Pad":
        pads = node.attrs["pads"]
        return pads[AXIS] == pads[AXIS + len(pads) // 2] == 0 and len(node.inputs) == 1
    if node.op in _SPATIAL:
        return graph.shape(node.inputs[0])[AXIS] == graph.shape(node.outputs[0])[AXIS]
    return traits.alike_by_channel and channel_limits(node) is None and len(node.inputs) == 1


def _is_sum(graph: Graph, node: Node) -> bool:
    """Return whether the node adds two activations of its own shape."""
    shapes = {graph.shape(name) for name in (*node.inputs, *node.outputs)}
    return node.op in _SUMS and len(shapes) == 1 and not any(name in graph.constants for name in node.inputs)


def _is_cut(node: Node) -> bool:
    """Return whether the node takes a run of channels of its input, and all of its other axes."""
    if node.op == "Split":
        return bool(node.attrs["axis"] == AXIS)
    return node.op == "Slice" and tuple(node.attrs["axes"]) == (AXIS,) and tuple(node.attrs["steps"]) == (1,)


def _kept(graph: Graph, node: Node, tensor: str) -> tuple[int, int]:
    """Return the channels of its input, from and up to, that a cut's output has."""
    if node.op == "Slice":
        low = int(node.attrs["starts"][0])
    else:
        low = int(sum(node.attrs["split"][: node.outputs.index(tensor)]))
    return low, low + graph.shape(tensor)[AXIS]


@dataclass(eq=False)
class _Split:
    """One depthwise convolution, and the activations behind it, replaced by one a piece.

    cuts: the seams that are used. graph: the network afterwards. origin, join: as in `Clustered`.
    """

    source: Graph
    depthwise: Node
    cuts: tuple[int, ...]
    constants: dict[str, Array] = field(default_factory=dict)
    tensors: list[TensorInfo] = field(default_factory=list)
    made: list[Node] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    parts: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.taken = {*self.source.tensors, *self.source.by_name}
        self.tail = self._tail()
        channels = self.source.shape(self.depthwise.inputs[0])[AXIS]
        self.pieces = tuple(zip((0, *self.cuts), (*self.cuts, channels), strict=True))
        ends = [self._piece(place, *piece) for place, piece in enumerate(self.pieces)]
        last = self.tail[-1]
        self.join = self._fresh(f"{last.name}_joined")
        self.origin[self.join] = last.name
        self.made.append(Node(self.join, "Concat", tuple(ends), last.outputs, {"axis": AXIS}))
        gone = {node.name for node in self.tail}
        nodes: list[Node] = []
        for node in self.source.nodes:
            nodes += self.made if node is self.depthwise else [] if node.name in gone else [node]
        kept = _alive(nodes, self.source.outputs)
        self.graph = self.source.edited(kept, constants=self.constants, tensors=self.tensors)

    def _tail(self) -> list[Node]:
        """Return the convolution and what follows it and can be computed on parts as well."""
        found, graph = [self.depthwise], self.source
        while (after := graph.only_consumer(found[-1].outputs[0])) is not None and is_canonical(after):
            if after.op in _SPATIAL or not _keeps_apart(graph, after):
                break
            found.append(after)
        return found

    def _piece(self, place: int, low: int, high: int) -> str:
        """Make one piece; return the tensor at its end."""
        tensor = self._part(self.depthwise.inputs[0], low, high)
        for node in self.tail:
            tensor = self._made(node, f"c{place}", (tensor,), low, high)
        return tensor

    def _part(self, tensor: str, low: int, high: int) -> str:
        """Return a tensor that has the channels from `low` up to `high`, from as far above as parts are apart."""
        graph = self.source
        if (low, high) == (0, graph.shape(tensor)[AXIS]):
            return tensor
        key = (tensor, low, high)
        if key not in self.parts:
            self.parts[key] = self._new_part(tensor, low, high)
        return self.parts[key]

    def _new_part(self, tensor: str, low: int, high: int) -> str:
        graph, node = self.source, self.source.producers.get(tensor)
        suffix = f"{low}_{high}"
        if node is None or not seams(graph, tensor):
            bounds = {"starts": (low,), "ends": (high,), "axes": (AXIS,), "steps": (1,)}
            return self._add(Node(f"{tensor}_from_{suffix}", "Slice", (tensor,), (tensor,), bounds), low, high)
        if node.op == "Concat":
            return self._joined(node, low, high)
        if _is_cut(node):
            start, _ = _kept(graph, node, tensor)
            return self._part(node.inputs[0], start + low, start + high)
        names = tuple(name for name in node.inputs if name not in graph.constants)
        return self._made(node, suffix, tuple(self._part(name, low, high) for name in names), low, high)

    def _joined(self, node: Node, low: int, high: int) -> str:
        """Return some channels of a Concat: one of its inputs, or several put together."""
        found, start = [], 0
        for name in node.inputs:
            end = start + self.source.shape(name)[AXIS]
            inside = max(low, start), min(high, end)
            if inside[0] < inside[1]:
                found.append(self._part(name, inside[0] - start, inside[1] - start))
            start = end
        if len(found) == 1:
            return found[0]
        made = replace(node, name=f"{node.name}_{low}_{high}", inputs=tuple(found))
        return self._add(made, low, high, source=node)

    def _made(self, node: Node, suffix: str, inputs: tuple[str, ...], low: int, high: int) -> str:
        """Return what the node makes of the channels from `low` up to `high`, which `inputs` are."""
        given = iter(inputs)
        names = [
            self._constant(node, name, suffix, low, high)
            if name in self.source.constants
            else next(given)
            if name
            else ""
            for name in node.inputs
        ]
        attrs = self._attributes(node, high - low)
        made = replace(node, name=f"{node.name}_{suffix}", inputs=tuple(names), attrs=attrs)
        return self._add(made, low, high, node)

    def _attributes(self, node: Node, channels: int) -> dict[str, Any]:
        """Return the attributes of the node for so many channels."""
        own: dict[str, Any] = {}
        if node is self.depthwise:
            own["group"] = channels
        if node.op == "Resize":
            own["sizes"] = (*node.attrs["sizes"][:AXIS], channels, *node.attrs["sizes"][AXIS + 1 :])
        return {**node.attrs, **own}

    def _constant(self, node: Node, name: str, suffix: str, low: int, high: int) -> str:
        """Return the rows of a constant that belong to these channels; all of one that they share."""
        value = self.source.constants[name]
        axis = 0 if node is self.depthwise else value.ndim - len(self.source.shape(node.outputs[0])) + AXIS
        if axis < 0 or value.shape[axis] == 1:
            return name
        fresh = self._fresh(f"{name}_{suffix}")
        self.constants[fresh] = np.ascontiguousarray(np.take(value, np.arange(low, high), axis))
        return fresh

    def _add(self, node: Node, low: int, high: int, source: Node | None = None) -> str:
        """Make a node under fresh names, its output in the place of the given one's; return the output."""
        info = self.source.tensors[node.outputs[0]]
        fresh = self._fresh(f"{info.name}_{node.name.rsplit('_', 1)[-1]}")
        shape = (info.shape[0], high - low, *info.shape[AXIS + 1 :])
        self.tensors.append(TensorInfo(fresh, shape, info.dtype))
        made = replace(node, name=self._fresh(node.name), outputs=(fresh,))
        self.made.append(made)
        if source is not None:
            self.origin[made.name] = source.name
        return fresh

    def _fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def _alive(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    """Return the nodes, in order, that something reads in the end."""
    read = set(outputs)
    found = []
    for node in reversed(nodes):
        if any(name in read for name in node.outputs):
            found.append(node)
            read.update(node.inputs)
    return found[::-1]
