"""From an ONNX model quantized elsewhere (QuantizeLinear / DequantizeLinear pairs) to an integer network.

A node runs in integers when every activation it reads comes from a DequantizeLinear, its output goes to a
QuantizeLinear (a Relu or Clip between folds into the clamp), its weights are constant integers and the
operator has an integer kernel; every other node runs in float on the host and says why. QuantizeLinear right
behind DequantizeLinear becomes a Requantize layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.batch import with_batch
from slimai.graph.canonical import canonicalize_again
from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.names import FreeNames, sanitized
from slimai.graph.ops import TRAITS, channel_axis, is_clamp, kind_of, traits_of
from slimai.graph.passes import run_pass
from slimai.graph.passes.drop_divisor_guard import DROP_DIVISOR_GUARD
from slimai.graph.passes.fuse_channel_clip import FUSE_CHANNEL_CLIP
from slimai.graph.passes.fuse_gemm import FUSE_GEMM
from slimai.quantizer.channel_scales import with_even_scales
from slimai.quantizer.params import S4, S8, S16, U8, QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.quantizer.prequantized import AS_STORED
from slimai.quantizer.spelled_out import with_whole_scales
from slimai.quantizer.stored_constants import (
    DEQUANTIZE,
    QUANTIZE,
    Stored,
    fold_constants,
    held_type,
    output_scales,
    parameters,
)
from slimai.quantizer.support import host_reason
from slimai.quantizer.weight_layout import weight_layout
from slimai.quantizer.weights import bias_integers

_TYPES = {kind.numpy.name: kind for kind in (S8, U8, S16)}
_ALL_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "int4", "uint4")


def is_quantized(graph: Graph) -> bool:
    """Return whether the network holds QuantizeLinear or DequantizeLinear nodes."""
    return any(node.op in {QUANTIZE, DEQUANTIZE} for node in graph.nodes)


def plan_of_quantized(graph: Graph) -> QuantPlan:
    """Return the integer network of a graph with QuantizeLinear and DequantizeLinear nodes.

    Raises:
        InputError: there is no such node, one has computed parameters, or an operator without an integer kernel
            computes on integers.
    """
    if not is_quantized(graph):
        raise InputError.at(graph.name, "the model is not quantized: it has no QuantizeLinear or QLinear operator")
    return _Importer(*_constants_folded(graph)).plan()


def _constants_folded(graph: Graph) -> tuple[Graph, dict[str, Stored]]:
    """Return the graph with its constants as float constants, and those with integers behind them."""
    found, stored = fold_constants(with_whole_scales(graph))
    found = canonicalize_again(found)
    for rule in (FUSE_GEMM, FUSE_CHANNEL_CLIP, DROP_DIVISOR_GUARD):
        found, _ = run_pass(found, rule)
    found, stored = with_even_scales(found, stored)
    return with_batch(found), stored


@dataclass
class _Importer:
    """Walks the nodes in order; `held` maps a float tensor to the integer tensor that stands for it.

    native: integer tensors that host operators write as they are, without parameters.
    """

    graph: Graph
    stored: Mapping[str, Stored]
    held: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, QParams] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    infos: dict[str, TensorInfo] = field(default_factory=dict)
    native: set[str] = field(default_factory=set)
    names: FreeNames = field(init=False)

    def __post_init__(self) -> None:
        """Take the file's own names, so that no new one equals one of them."""
        self.names = FreeNames.of(self.graph)

    def plan(self) -> QuantPlan:
        """Return the plan of the whole network."""
        absorbed: set[str] = set()
        for node in self.graph.nodes:
            if node.name in absorbed:
                continue
            reason = self._why_not_plain(node) if node.op in (QUANTIZE, DEQUANTIZE) else ""
            if reason:
                self._add(self._host_layer(node, reason))
            elif node.op == DEQUANTIZE:
                self._dequantize(node)
            elif node.op == QUANTIZE:
                self._quantize(node)
            else:
                absorbed |= self._compute(node)
        outputs = tuple(self.held.get(name, name) for name in self.graph.outputs)
        infos = {**self.graph.tensors, **{name: self._float_info(name) for name in self.tensors}}
        graph = replace(self.graph, outputs=outputs, tensors=infos)
        graph = with_batch(graph.edited(self.nodes, constants=self.constants))
        graph, layers, tensors = self._named_as_the_file(graph)
        declared = {name: self.graph.tensors[name].dtype for name in self.graph.outputs}
        return QuantPlan(graph, layers, tensors, AS_STORED, {name: name for name in tensors}, declared=declared)

    def _float_info(self, name: str) -> TensorInfo:
        shape = self.infos[name].shape if name in self.infos else self.graph.shape(name)
        return TensorInfo(name, shape, "float32")

    def _named_as_the_file(self, graph: Graph) -> tuple[Graph, tuple[Layer, ...], dict[str, QParams]]:
        """Give integer tensors that stand for a network output the output's own name."""
        names = {
            inner: outer
            for inner, outer in zip(graph.outputs, self.graph.outputs, strict=True)
            if inner != outer and inner not in graph.inputs
        }

        def new(items: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(names.get(item, item) for item in items)

        def renamed(node: Node) -> Node:
            return replace(node, inputs=new(node.inputs), outputs=new(node.outputs))

        layers = tuple(
            replace(
                layer, node=renamed(layer.node), inputs=new(layer.inputs), outputs=new(layer.outputs),
                activation=None if layer.activation is None else renamed(layer.activation),
            )
            for layer in self.layers
        )  # fmt: skip
        infos = {
            names.get(name, name): replace(info, name=names.get(name, name)) for name, info in graph.tensors.items()
        }
        graph = replace(graph, nodes=tuple(map(renamed, graph.nodes)), outputs=new(graph.outputs), tensors=infos)
        return graph, layers, {names.get(name, name): params for name, params in self.tensors.items()}

    def _activation_params(self, node: Node, integers: str) -> QParams:
        scale, zero = parameters(self.graph.constants, node)
        kind = _TYPES[self.graph.tensors[integers].dtype]
        return QParams(kind, float(scale[0]), int(zero[0]))

    def _why_not_plain(self, node: Node) -> str:
        """Return why a tensor cannot be held in integers as this node says, or an empty string.

        The node then runs on the host, and with it what reads its output.
        """
        scale, zero = parameters(self.graph.constants, node)
        name = node.outputs[0] if node.op == QUANTIZE else node.inputs[0]
        if self.graph.constants[node.inputs[1]].ndim > 1 or node.attrs.get("block_size", 0):
            return "an activation with one scale a block"
        if scale.size > 1 or zero.size > 1:
            return "an activation with one scale a channel, and not only depthwise convolutions behind a layer"
        if self.graph.tensors[name].dtype not in _TYPES:
            return f"an activation of the type {self.graph.tensors[name].dtype}"
        return "its input is computed on the host" if self._of(name) in self.native else ""

    def _dequantize(self, node: Node) -> None:
        source, params = self._of(node.inputs[0]), self._activation_params(node, node.inputs[0])
        if self.tensors.setdefault(source, params) != params:
            source = self._reread(source, params)
        self.held[node.outputs[0]] = source

    def _reread(self, source: str, params: QParams) -> str:
        """Return the same integers as a tensor with other parameters: a second DequantizeLinear reads them so."""
        target = self.names.take(f"{source}__reread")
        shape = self._float_info(source).shape
        node = Node(target, "Reshape", (source,), (target,), {"shape": shape, "integers_kept": 1})
        self.tensors[target] = params
        self.infos[target] = TensorInfo(target, shape)
        self._add(Layer(f"Reshape_{sanitized(target)}__1", "Reshape", node, (source,), (target,)))
        return target

    def _of(self, name: str) -> str:
        return self.held.get(name, name)

    def _quantize(self, node: Node) -> None:
        """A QuantizeLinear that no integer layer took: of an input, of a held tensor, or of a host output."""
        source, (target,) = self._of(node.inputs[0]), node.outputs
        params = self._activation_params(node, target)
        if self.tensors.get(source) == params:
            self.held[target] = source
            return
        if source in self.graph.inputs and source not in self.tensors and self._only_quantized(source):
            self.tensors[source] = params
            self.held[target] = source
            return
        self.tensors[target] = params
        requantized = source in self.tensors
        step = Node(
            self.names.take(f"{node.name}_step"), "Requantize" if requantized else "Identity", (source,), (target,)
        )
        note = "" if requantized else "quantizes a float tensor that others read too"
        self._add(Layer(f"{step.op}_{sanitized(step.name)}__1", step.op, step, (source,), (target,), _mode(note), note))

    def _only_quantized(self, name: str) -> bool:
        readers = self.graph.consumers.get(name, ())
        if name in self.graph.outputs or any(item.op != QUANTIZE or self._why_not_plain(item) for item in readers):
            return False
        return len({self._activation_params(item, item.outputs[0]) for item in readers}) == 1

    def _compute(self, node: Node) -> set[str]:
        """Add the layer of a node; return the names of nodes that it takes with it."""
        clamp = self._folded_clamp(node)
        last = node if clamp is None else clamp
        reason = self._why_host(node, last)
        if reason:
            self._add(self._host_layer(node, reason))
            return set()
        self._take_outputs(last)
        moved = replace(node, inputs=tuple(map(self._of, node.inputs)))
        moved = moved if clamp is not None else replace(moved, outputs=tuple(map(self._of, node.outputs)))
        if clamp is not None:
            clamp = replace(clamp, outputs=tuple(map(self._of, clamp.outputs)))
        reads = tuple(name for name in moved.inputs if name in self.tensors)
        kind = kind_of(self.graph, node)
        weight, bias, operands = self._parameters_of(node)
        outputs = (moved if clamp is None else clamp).outputs
        name = f"{kind}_{sanitized(node.name)}__1"
        self._add(
            Layer(
                name, kind, moved, reads, outputs, weight=weight, bias=bias, operands=operands,
                activation=clamp,
            )
        )  # fmt: skip
        return set() if clamp is None else {clamp.name}

    def _folded_clamp(self, node: Node) -> Node | None:
        traits = traits_of(node)
        if traits is None or traits.clamp != "takes":
            return None
        reader = self.graph.only_consumer(node.outputs[0])
        return reader if reader is not None and is_clamp(reader) else None

    def _why_host(self, node: Node, last: Node) -> str:
        """Return why the node cannot run in integers, or an empty string."""
        for name in node.inputs:
            if name and name not in self.graph.constants and self._of(name) not in self.tensors:
                return f"input {name} is not quantized"
        reason = host_reason(_as_float(self.graph, node), node)
        if reason:
            return reason
        if TRAITS[node.op].scale != "index" and not all(self._writes_integers(name) for name in last.outputs if name):
            return "its output is not quantized"
        return self._why_not_constants(node)

    def _writes_integers(self, name: str) -> bool:
        return self.graph.tensors[name].dtype in _TYPES or self._only_quantized(name)

    def _why_not_constants(self, node: Node) -> str:
        traits = TRAITS[node.op]
        for position, name in enumerate(node.inputs):
            if name not in self.graph.constants or position == traits.bias:
                continue
            item = self.stored.get(name)
            if item is None:
                return f"constant {name} is not quantized"
            if held_type(item) is None:
                return f"constant {name} is {item.values.dtype.name}, which no kernel takes"
            if item.per_channel and not self._takes_scales(node, position, item):
                return f"constant {name} has a scale or zero point a channel that no kernel takes"
        return self._why_not_bias(node)

    def _takes_scales(self, node: Node, position: int, item: Stored) -> bool:
        """Return whether a constant's scales are those of the output channels of a matrix operator."""
        if position != TRAITS[node.op].weight or node.op == "PRelu" or item.zero_point.size > 1:
            return False
        return output_scales(node, item) is not None

    def _why_not_bias(self, node: Node) -> str:
        place = TRAITS[node.op].bias
        name = node.inputs[place] if place is not None and len(node.inputs) > place else ""
        channels = self.graph.shape(node.outputs[0])[channel_axis(node, len(self.graph.shape(node.outputs[0])))]
        size = self.graph.constants[name].size if name else channels
        return "" if size in (1, channels) else f"bias {name} has {size} numbers for {channels} channels"

    def _take_outputs(self, last: Node) -> None:
        """Let the outputs of `last` be the integer tensors behind them."""
        for name in (item for item in last.outputs if item):
            if self.graph.tensors[name].dtype in _TYPES and TRAITS[last.op].scale != "index":
                self.tensors[name] = self.tensors[self._of(last.inputs[0])]
                continue
            readers = [item for item in self.graph.consumers.get(name, ()) if item.op == QUANTIZE]
            if not readers:
                continue
            target = readers[0].outputs[0]
            self.tensors[target] = self._activation_params(readers[0], target)
            self.held[name] = target
            self.held.update({item.outputs[0]: target for item in readers[1:]})

    def _parameters_of(
        self, node: Node
    ) -> tuple[QWeight | None, NDArray[np.int64] | None, dict[int, tuple[Array, QParams]]]:
        traits, weight, bias = TRAITS[node.op], None, None
        operands: dict[int, tuple[Array, QParams]] = {}
        for position, name in enumerate(node.inputs):
            item = self.stored.get(name)
            if position == traits.bias and name:
                bias = self._bias(node, name, weight)
            elif item is not None and position == traits.weight:
                weight = _weight(node, item)
            elif item is not None:
                params = QParams(_TYPES[item.values.dtype.name], float(item.scale[0]), int(item.zero_point[0]))
                operands[position] = (item.values, params)
        return weight, bias, operands

    def _bias(self, node: Node, name: str, weight: QWeight | None) -> NDArray[np.int64]:
        """Return the bias at s_x * s_w: as stored where it has that scale, else rounded to it."""
        x = self.tensors[self._of(node.inputs[0])]
        scale = x.scale * (weight.scale if weight is not None else np.ones(1))
        item, channels = (
            self.stored.get(name),
            self.graph.shape(node.outputs[0])[channel_axis(node, len(self.graph.shape(node.outputs[0])))],
        )
        if item is not None and not item.zero_point.any() and np.allclose(item.scale, scale, rtol=1e-6, atol=0):
            found = item.values.astype(np.int64).reshape(-1)
        else:
            found = bias_integers(self.graph.constants[name], scale, x.dtype.bits, node.name or node.outputs[0])
        return np.broadcast_to(found, (channels,))

    def _host_layer(self, node: Node, reason: str) -> Layer:
        self._refuse_integers(node, reason)
        if node.op not in (QUANTIZE, DEQUANTIZE):
            self._take_host_outputs(node)
        self.native.update(name for name in node.outputs if name and self.graph.tensors[name].dtype in _ALL_TYPES)
        moved = replace(
            node, inputs=tuple(map(self._of, node.inputs)), outputs=tuple(map(self._of, node.outputs))
        )  # fmt: skip
        reads = tuple(name for name in moved.inputs if name and name not in self.graph.constants)
        writes = tuple(name for name in moved.outputs if name)
        return Layer(f"{node.op}_{sanitized(node.name)}__1", node.op, moved, reads, writes, "host", reason)

    def _refuse_integers(self, node: Node, reason: str) -> None:
        """Raise InputError where a host operator reads, as they are, integers that stand for real values here."""
        for name in filter(None, node.inputs):
            kept = name in self.graph.tensors and self.graph.tensors[name].dtype in _ALL_TYPES
            if kept and self._of(name) in self.tensors and node.op != DEQUANTIZE:
                message = f"{node.op} computes on the integers of '{name}' and cannot run on the host ({reason})"
                raise InputError.at(node.name, message, cure="dequantize them before it")

    def _take_host_outputs(self, node: Node) -> None:
        """A float output that is only quantized is written as these integers."""
        for name in (item for item in node.outputs if item and self._only_quantized_or_none(item)):
            readers = self.graph.consumers[name]
            target = readers[0].outputs[0]
            self.tensors[target] = self._activation_params(readers[0], target)
            self.held[name] = target
            self.held.update({item.outputs[0]: target for item in readers})

    def _only_quantized_or_none(self, name: str) -> bool:
        return bool(self.graph.consumers.get(name)) and self._only_quantized(name)

    def _add(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.nodes.append(layer.node)
        if layer.activation is not None:
            self.nodes.append(layer.activation)


def _weight(node: Node, item: Stored) -> QWeight:
    kind, scale = _TYPES[item.values.dtype.name], item.scale
    axis = item.axis
    if node.op != "PRelu":
        kind = S4 if item.narrow else kind
        axis = weight_layout(node, item.values.shape).axis
        found = output_scales(node, item)
        scale = item.scale if found is None else found
    return QWeight(np.ascontiguousarray(item.values), kind, scale, axis, int(item.zero_point[0]))


def _mode(note: str) -> Any:
    return "host" if note else "integer"


def _as_float(graph: Graph, node: Node) -> Graph:
    """Return the graph in which the node's integer tensors count as float: what they stand for."""
    names = (*node.inputs, *node.outputs)
    infos = {
        name: replace(graph.tensors[name], dtype="float32")
        for name in names
        if name in graph.tensors and graph.tensors[name].dtype in _TYPES and name not in graph.constants
    }
    return replace(graph, tensors={**graph.tensors, **infos})
