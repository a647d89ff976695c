"""Activations with one scale a channel in front of depthwise convolutions, as activations with one scale.

NNCF writes them. Channel c holds s_c * q. Divided by r_c = s_c / max s it has the scale max s for the same integers q;
the layer before gives that when the scales of its output channels are divided by r_c (a Relu, and the upper limit of a
Clip from 0, go along), and the depthwise convolution takes it when the scales of its channels are multiplied by r_c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.names import FreeNames
from slimai.graph.ops import channel_limits, is_depthwise
from slimai.quantizer.stored_constants import (
    DEQUANTIZE,
    QUANTIZE,
    Stored,
    output_scales,
    parameters,
    real_values,
)

Vector = NDArray[np.float64]


def with_even_scales(graph: Graph, stored: Mapping[str, Stored]) -> tuple[Graph, dict[str, Stored]]:
    """Return the network with such activations on one scale; others stay as they are."""
    found = dict(stored)
    for name in [node.name for node in graph.nodes if node.op == QUANTIZE]:
        edge = _edge(graph, found, graph.by_name[name])
        if edge is not None:
            graph = edge.evened(graph, found)
    return graph, found


@dataclass(frozen=True)
class _Edge:
    """layer [, clamp] -> quantize -> dequantize -> readers, with a scale [C] a channel."""

    layer: Node
    clamp: Node | None
    quantize: Node
    dequantize: tuple[Node, ...]
    readers: tuple[Node, ...]
    scale: Vector

    def evened(self, graph: Graph, stored: dict[str, Stored]) -> Graph:
        largest = float(self.scale.max())
        ratio = self.scale / largest
        maker = _Maker(graph, stored)
        changed = {self.layer.name: maker.layer(self.layer, 1.0 / ratio, bias=1.0 / ratio)}
        changed |= {reader.name: maker.layer(reader, ratio, bias=None) for reader in self.readers}
        if self.clamp is not None:
            changed[self.clamp.name] = _clamped(self.clamp, ratio)
        scale = maker.constant(f"{self.quantize.inputs[1]}_even", np.array(largest, np.float32))
        zero = parameters(graph.constants, self.quantize)[1][0]
        kind = graph.tensors[self.quantize.outputs[0]].dtype
        zeros = maker.constant(f"{self.quantize.inputs[1]}_even_zero", np.array(zero, kind))
        for node in (self.quantize, *self.dequantize):
            changed[node.name] = replace(node, inputs=(node.inputs[0], scale, zeros), attrs={})
        nodes = [changed.get(node.name, node) for node in graph.nodes]
        return graph.edited(nodes, constants=maker.constants)


class _Maker:
    """Writes scaled copies of weights and biases."""

    def __init__(self, graph: Graph, stored: dict[str, Stored]) -> None:
        self.graph, self.stored = graph, stored
        self.names = FreeNames.of(graph)
        self.constants: dict[str, Array] = {}

    def constant(self, wanted: str, value: Array) -> str:
        name = self.names.take(wanted)
        self.constants[name] = value
        return name

    def layer(self, node: Node, factor: Vector, *, bias: Vector | None) -> Node:
        """Return the layer with the scales of its output channels times `factor`, its bias times `bias`."""
        weight = self.stored[node.inputs[1]]
        scale = np.broadcast_to(np.asarray(output_scales(node, weight)), factor.shape) * factor
        inputs = [node.inputs[0], self._stored(node.inputs[1], replace(weight, scale=scale, axis=_axis(node)))]
        if len(node.inputs) > 2 and node.inputs[2]:
            inputs.append(node.inputs[2] if bias is None else self._bias(node.inputs[2], bias))
        return replace(node, inputs=tuple(inputs))

    def _bias(self, name: str, factor: Vector) -> str:
        item = self.stored.get(name)
        if item is not None:
            scale = np.broadcast_to(item.scale, factor.shape) * factor
            return self._stored(name, replace(item, scale=scale, axis=0))
        value = self.graph.constants[name].astype(np.float64).reshape(-1) * factor
        return self.constant(f"{name}_even", value.astype(np.float32))

    def _stored(self, name: str, item: Stored) -> str:
        fresh = self.constant(f"{name}_even", real_values(item))
        self.stored[fresh] = item
        return fresh


def _axis(node: Node) -> int:
    return 1 if node.op == "ConvTranspose" else 0


def _clamped(node: Node, ratio: Vector) -> Node:
    if node.op == "Relu":
        return node
    limits = channel_limits(node) or (node.attrs["hi"],) * ratio.size
    return node.with_attrs(hi=tuple(float(limit) for limit in np.asarray(limits) / ratio))


def _edge(graph: Graph, stored: Mapping[str, Stored], node: Node) -> _Edge | None:
    """Return the edge that begins at a QuantizeLinear, where it can be evened."""
    if len(node.inputs) < 2 or any(name and name not in graph.constants for name in node.inputs[1:]):
        return None
    scale, zero = parameters(graph.constants, node)
    shape = graph.shape(node.inputs[0])
    per_channel = scale.size > 1 and zero.size == 1 and graph.constants[node.inputs[1]].ndim == 1
    if not per_channel or len(shape) < 3 or int(node.attrs.get("axis", 1)) % len(shape) != 1:
        return None
    if node.attrs.get("block_size", 0) or node.outputs[0] in graph.outputs:
        return None
    ends = graph.consumers.get(node.outputs[0], ())
    readers = tuple(reader for end in ends for reader in graph.consumers.get(end.outputs[0], ()))
    if not ends or not readers or not all(_same_parameters(graph, node, end) for end in ends):
        return None
    if not all(_takes_channels(graph, stored, reader, end) for end in ends for reader in _readers(graph, end)):
        return None
    before = _before(graph, stored, node.inputs[0])
    return None if before is None else _Edge(*before, node, ends, readers, scale)


def _readers(graph: Graph, end: Node) -> tuple[Node, ...]:
    return graph.consumers.get(end.outputs[0], ())


def _same_parameters(graph: Graph, node: Node, end: Node) -> bool:
    if end.op != DEQUANTIZE or end.outputs[0] in graph.outputs:
        return False
    if any(name and name not in graph.constants for name in end.inputs[1:]):
        return False
    pairs = zip(parameters(graph.constants, node), parameters(graph.constants, end), strict=True)
    same = all(np.array_equal(one, other) for one, other in pairs)
    return same and node.attrs.get("axis", 1) == end.attrs.get("axis", 1)


def _takes_channels(graph: Graph, stored: Mapping[str, Stored], reader: Node, end: Node) -> bool:
    """Return whether a reader is a depthwise convolution, one output a channel, with integer weights."""
    if not is_depthwise(graph, reader) or reader.inputs[0] != end.outputs[0]:
        return False
    same = graph.shape(reader.outputs[0])[1] == graph.shape(end.outputs[0])[1]
    return same and _scalable(stored, reader)


def _scalable(stored: Mapping[str, Stored], node: Node) -> bool:
    item = stored.get(node.inputs[1])
    if node.op == "ConvTranspose" and int(node.attrs["group"]) > 1:
        return False  # its output channels are no axis of its weights
    return item is not None and item.zero_point.size == 1 and output_scales(node, item) is not None


def _before(graph: Graph, stored: Mapping[str, Stored], tensor: str) -> tuple[Node, Node | None] | None:
    """Return the convolution that alone makes a tensor, and the clamp between, where both take factors a channel."""
    if graph.only_consumer(tensor) is None:
        return None
    node, clamp = graph.producers.get(tensor), None
    if node is not None and (node.op == "Relu" or (node.op == "Clip" and node.attrs["lo"] == 0.0)):
        clamp, node = node, graph.producers.get(node.inputs[0])
        if node is None or graph.only_consumer(node.outputs[0]) is None:
            return None
    if node is None or node.op not in ("Conv", "ConvTranspose") or node.domain or not _scalable(stored, node):
        return None
    if node.op == "ConvTranspose" and node.attrs["group"] != 1:
        return None
    constant = all(name in graph.constants for name in node.inputs[1:] if name)
    return (node, clamp) if constant else None
