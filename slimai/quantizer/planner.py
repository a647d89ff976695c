"""From float graph, statistics and one candidate's options to an integer network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slimai.calibration.statistics import ChannelSums, Statistics
from slimai.floating_point import guarded
from slimai.graph.facts import once_a_graph
from slimai.graph.ir import Array, Graph
from slimai.graph.names import node_names, profile_names
from slimai.graph.ops import DEPTHWISE, TRAITS, channel_axis, has_bias_slot, is_depthwise
from slimai.quantizer.assign import Assignment, assign, host_decisions
from slimai.quantizer.bias_correction import corrected_bias, weight_shift
from slimai.quantizer.clipping import clipped_peaks
from slimai.quantizer.insert_requantize import Network, insert_requantize
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import activation_params, as_float32, limits_of
from slimai.quantizer.options import QuantOptions, Target, VisionDsp
from slimai.quantizer.params import S4, S16, QParams
from slimai.quantizer.plan import Decision, Layer, QuantPlan, QWeight
from slimai.quantizer.reachable import constant_weights, reachable_grids, weight_type
from slimai.quantizer.recurrent import CELL, CELLS, HIDDEN, Y, initial_state, is_recurrent, quantized_matrices
from slimai.quantizer.rounding.result import RoundedLayer
from slimai.quantizer.weight_layout import WeightLayout, weight_layout
from slimai.quantizer.weight_store import WeightStore
from slimai.quantizer.weights import BIAS_ROOM_BITS, QuantizedLayer, quantize_constant, quantize_layer

Made = tuple[Layer, tuple[Decision, ...]]  # a layer with what had to be adjusted
KnownLayer = Callable[["LayerBuilder", Step, str], Made]


def build_plan(
    graph: Graph,
    stats: Statistics,
    options: QuantOptions,
    target: Target | None = None,
    store: WeightStore | None = None,
    known: KnownLayer | None = None,
) -> QuantPlan:
    """Return the integer network of one candidate.

    stats: of the float network `graph`, on every tensor of `quantized_tensors(graph)`. target: default vision_dsp.
    store: what candidates of the same network share. known: gives layers that plans of one candidate share
    (`KnownLayers.layer`).

    Raises:
        InputError: an unknown level, or tensors that calibration has not seen.
    """
    target = VisionDsp() if target is None else target
    store = WeightStore() if store is None else store
    given = assign(graph, stats, options)
    decisions = [*host_decisions(given.steps), *given.notes, *given.groups.decisions]
    decisions += reachable_grids(given, options, store)
    network = insert_requantize(given)
    plan_graph = network.graph(graph)
    names = _layer_names(plan_graph)
    builder = LayerBuilder(graph, network, given, options, target, stats, store)
    layers = []
    for step in network.steps:
        with guarded(step.name, "its weights and bias were quantized"):
            name = names[step.name]
            layer, notes = builder.layer(step, name) if known is None else known(builder, step, name)
        layers.append(layer)
        decisions += notes
    shown = tensor_names(graph, plan_graph)
    profile = {name: shown[name] for name in plan_graph.activations() if name in network.params}
    return QuantPlan(
        plan_graph,
        tuple(layers),
        network.params,
        options.level,
        profile,
        tuple(decisions),
        limits={name: _limits(given, network, name) for name in profile},
        sources=network.sources,
    )


def _limits(given: Assignment, network: Network, tensor: str) -> tuple[float, float]:
    """Return the limits of the tensor's group, or what its parameters reach where a Requantize made it."""
    params = network.params[tensor]
    if tensor not in given.widths:
        return limits_of(params)
    found = given.group_limits(tensor, params.dtype.bits)
    return found.low, found.high


def layer_kinds(graph: Graph) -> dict[str, str]:
    """Return node name -> kind, for the nodes whose kind is not their operator."""
    return {node.name: DEPTHWISE for node in graph.nodes if is_depthwise(graph, node)}


def tensor_names(graph: Graph, plan_graph: Graph) -> dict[str, str]:
    """Return profile names: those of `graph`, whatever the level put between, and of the tensors added to it."""
    known = _tensor_names(graph)
    if plan_graph is graph:
        return dict(known)
    added = _tensor_names(plan_graph)
    taken = set(known.values())
    fresh = {name: f"{text}_tied" if text in taken else text for name, text in added.items() if name not in known}
    return {**known, **fresh}


@once_a_graph
def _layer_names(graph: Graph) -> Mapping[str, str]:
    return node_names(graph, layer_kinds(graph))


@once_a_graph
def _tensor_names(graph: Graph) -> Mapping[str, str]:
    return profile_names(graph, layer_kinds(graph))


@dataclass(frozen=True, eq=False)
class LayerBuilder:
    """Turns steps into layers."""

    graph: Graph
    network: Network
    given: Assignment
    options: QuantOptions
    target: Target
    stats: Statistics
    store: WeightStore

    def layer(self, step: Step, name: str) -> Made:
        """Return the layer of `step`, with what had to be adjusted."""
        if not step.integer:
            return Layer(name, step.kind, step.node, step.inputs, step.outputs, "host", step.host), ()
        base = Layer(name, step.kind, step.node, step.inputs, step.outputs, activation=step.activation)
        if is_recurrent(step):
            return self._recurrent(step, base)
        weights = constant_weights(self.graph, step.node)
        if weights is not None and TRAITS[step.node.op].family != "matrix":
            kept = quantize_constant(weights, weight_type(self.given, self.options, step, self._bits(step)))
            return replace(base, weight=kept), ()
        if weights is not None:
            made = self._weighted(step, weights)
            return replace(base, weight=made.weight, bias=made.bias), made.decisions
        return replace(base, operands=self._operands(step)), ()

    def _recurrent(self, step: Step, base: Layer) -> Made:
        """Return an LSTM or GRU with its matrices, and its constant states on the grids of what it writes."""
        params = self.network.params
        x, y = params[step.inputs[0]], params[step.node.outputs[Y]]
        dtype = weight_type(self.given, self.options, step, max(x.dtype.bits, y.dtype.bits))
        # a target with a scale an output channel in Gemm has it here too: both are rows of a matrix
        able = not {step.node.op, "Gemm"}.isdisjoint(self.target.per_channel_ops)
        per_row = able and self.given.scheme.at(self._bits(step)).per_channel
        matrices, notes = quantized_matrices(self.graph, step, x, y, dtype, per_row=per_row)
        operands = {}
        for position in (HIDDEN, CELL):
            value = self.graph.constants.get(initial_state(step, position))
            if value is not None:
                low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
                own = activation_params(self.given.scheme, low, high, nonnegative=low >= 0, bits=y.dtype.bits)
                grid = own if position == HIDDEN else params[step.node.outputs[CELLS]]
                operands[position] = (grid.quantize(value), grid)
        return replace(base, matrices=matrices, operands=operands), notes

    def _bits(self, step: Step) -> int:
        return self.network.params[step.inputs[0]].dtype.bits

    def _weighted(self, step: Step, weights: Array) -> QuantizedLayer:
        bits = self._bits(step)
        dtype = weight_type(self.given, self.options, step, bits)
        per_channel = dtype == S4 or self._per_channel(step)
        layout = weight_layout(step.node, weights.shape)
        scale = self.network.params[step.inputs[0]].scale
        clipped = self.options.weight_clipping or (dtype == S4 and self.options.narrow_clipping)
        limits = clipped_peaks(weights, layout, dtype, per_channel=per_channel) if clipped else None

        def quantized(bias: Array | None) -> QuantizedLayer:
            return quantize_layer(
                step.name,
                weights,
                bias,
                layout,
                scale,
                dtype,
                per_channel=per_channel,
                output_scale=self.network.params[step.outputs[0]].scale,
                wide=bits > 8,
                limits=limits,
                store=self.store,
            )

        bias = self._float_bias(step)
        made = quantized(bias)
        means = self._input_means(step)
        if means is not None:
            made = quantized(corrected_bias(bias, self._weight_shift(step, weights, made.weight, means)))
        rounded = self.options.rounding.get(step.name)
        return made if rounded is None else self._rounded(step, rounded, made, layout)

    def _rounded(self, step: Step, rounded: RoundedLayer, made: QuantizedLayer, layout: WeightLayout) -> QuantizedLayer:
        """Return the layer with rounded weights, in the channels that have the grid they were rounded for."""
        grid = made.weight
        if rounded.weight.dtype != grid.dtype or rounded.weight.scale.size != grid.scale.size:
            return made
        same = np.broadcast_to(rounded.weight.scale == grid.scale, rounded.bias.shape)
        weight = self.store.mixed(rounded.weight, grid, layout)
        if not has_bias_slot(step.node):
            return QuantizedLayer(weight, None, made.decisions)
        own = np.zeros(rounded.bias.shape, np.int64) if made.bias is None else made.bias
        real = rounded.bias + self.options.bias_offsets.get(step.name, 0.0)
        reads = self.network.params[step.inputs[0]]
        room = 2.0 ** BIAS_ROOM_BITS[reads.dtype.bits]
        bias = np.clip(np.rint(real / (reads.scale * grid.scale)), -room, room).astype(np.int64)
        return QuantizedLayer(weight, np.where(same, bias, own), made.decisions)

    def _weight_shift(
        self, step: Step, weights: Array, quantized: QWeight, means: ChannelSums
    ) -> NDArray[np.float64] | None:
        """Return what the rounding of the weights adds to each output channel in the mean; made once a scale."""
        return self.store.once(quantized, means, lambda: weight_shift(step.node, weights, quantized, means.means))

    def _input_means(self, step: Step) -> ChannelSums | None:
        """Return the means of the channels that the layer reads, where analytic bias correction can use them."""
        if not self.options.bias_correction or not has_bias_slot(step.node):
            return None
        tensor = self.network.sources.get(step.inputs[0], step.inputs[0])
        channels = self.stats[tensor].channels if tensor in self.stats else None
        axis = channel_axis(step.node, len(self.graph.shape(tensor)))
        return None if channels is None or channels.axis != axis else channels

    def _per_channel(self, step: Step) -> bool:
        """Whether the target has a kernel with one weight scale an output channel for this layer."""
        stacked = step.node.op == "MatMul" and len(self.graph.shape(step.node.inputs[1])) > 2
        scheme = self.given.scheme.at(self._bits(step))
        return scheme.per_channel and step.node.op in self.target.per_channel_ops and not stacked

    def _float_bias(self, step: Step) -> NDArray[np.float64] | None:
        """Return the bias to quantize, [O] or None."""
        position = TRAITS[step.node.op].bias
        has_bias = position is not None and len(step.node.inputs) > position and step.node.inputs[position]
        bias = self.graph.constants[step.node.inputs[position]].reshape(-1) if has_bias and position else None
        if bias is not None:
            bias = self.given.masks[self._bits(step)].cut(step.node, bias)
        offset = self.options.bias_offsets.get(step.name)
        if offset is None:
            return bias
        return offset if bias is None else bias + offset

    def _operands(self, step: Step) -> Mapping[int, tuple[Array, QParams]]:
        """Return the constant operands of the operators that take them, quantized, by input position."""
        operands: dict[int, tuple[Array, QParams]] = {}
        if not TRAITS[step.node.op].operands:
            return operands
        for position, tensor in enumerate(step.node.inputs):
            value = self.graph.constants.get(tensor)
            if value is None or value.dtype.kind != "f":  # a mask
                continue
            value = self.given.masks[self._bits(step)].cut(step.node, value)
            params = self._operand_params(step, value)
            operands[position] = (params.quantize(value), params)
        return operands

    def _operand_params(self, step: Step, value: Array) -> QParams:
        if TRAITS[step.node.op].operands == "output":
            return self.network.params[step.outputs[0]]
        if TRAITS[step.node.op].operands == "wide":
            largest = float(np.abs(value).max(initial=0.0))
            return QParams(S16, as_float32(largest / S16.high) if largest else 1.0, 0)
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
        return activation_params(self.given.scheme, low, high, nonnegative=low >= 0, bits=self._bits(step))
