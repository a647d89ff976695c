"""Estimated cycles of an integer network on its target: compute against memory, layer by layer.

A roofline estimate (Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009) with explicit transfer latency.
For each layer::

    compute = MACs / macs_per_cycle[pair]          layers with weights, MatMul
            = elements / elementwise_lanes         all others (the larger of inputs and outputs); a normalization
                                                   passes over them 3 times (sum, squares, product)
    tiles   = ceil(2 * (inputs + weights + outputs) / local memory)     in bytes; 2 = double buffering
    memory  = (inputs + weights + outputs) / dma_bytes_per_cycle + tiles * (read_delay + write_delay)
    cycles  = max(compute, memory)

Inputs and outputs go through main memory. Layers that run in float on the host are of the pair `host`::

    compute = MACs / host_macs_per_cycle           elements, where there are no MACs; nothing for a Reshape
    memory  = float32 inputs, weights and outputs / dma_bytes_per_cycle
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.host_cost import host_macs, host_work

HOST = "host"  # in place of a pair of types
_PASSES: Mapping[str, int] = {"normalization": 3}


class Lanes(Protocol):
    """Elements a cycle by width."""

    @property
    def bits8(self) -> float:
        """Of 8-bit tensors."""

    @property
    def bits16(self) -> float:
        """Of 16-bit tensors."""


class Speed(Protocol):
    """What the estimate reads of the section `target`."""

    @property
    def macs_per_cycle(self) -> Mapping[Any, float]:
        """By pair of types."""

    @property
    def elementwise_lanes(self) -> Lanes:
        """Elements a cycle."""

    @property
    def host_macs_per_cycle(self) -> float:
        """Of layers in float on the host."""

    @property
    def dma_bytes_per_cycle(self) -> float:
        """Main memory traffic."""

    @property
    def local_memory_bytes(self) -> int:
        """Size of the local memory."""

    @property
    def tcm_reserve_low(self) -> int:
        """Bytes that the system keeps."""

    @property
    def tcm_reserve_high(self) -> int:
        """Bytes that the system keeps."""


class Clock(Protocol):
    """What the estimate reads of the section `performance`."""

    @property
    def dsp_frequency(self) -> float:
        """MHz."""

    @property
    def read_delay(self) -> int:
        """Cycles."""

    @property
    def write_delay(self) -> int:
        """Cycles."""


@dataclass(frozen=True)
class LayerCost:
    """One layer: multiply-accumulates, bytes moved, cycles of each kind; `pair` names the types, as ``s8s8``."""

    name: str
    kind: str
    pair: str
    macs: int
    moved: int
    compute: float
    memory: float

    @property
    def cycles(self) -> float:
        """The larger of compute and memory."""
        return max(self.compute, self.memory)


@dataclass(frozen=True)
class Estimate:
    """The cost of a frame. It is an estimate, never a measurement."""

    layers: tuple[LayerCost, ...]
    frequency_mhz: float

    @property
    def cycles(self) -> float:
        """Sum over the layers."""
        return math.fsum(layer.cycles for layer in self.layers)

    @property
    def milliseconds(self) -> float:
        """Time of a frame at the target's clock."""
        return self.cycles / (self.frequency_mhz * 1e3)

    def by_pair(self) -> dict[str, float]:
        """Return cycles by pair of types."""
        totals: dict[str, float] = {}
        for layer in self.layers:
            totals[layer.pair] = totals.get(layer.pair, 0.0) + layer.cycles
        return totals


def estimate(plan: QuantPlan, target: Speed, clock: Clock) -> Estimate:
    """Return the estimated cost of one image (batch 1)."""
    layers = [
        _layer_cost(plan, layer, target, clock) if layer.mode == "integer" else _host_cost(plan.graph, layer, target)
        for layer in plan.layers
        if layer.mode == "host" or not TRAITS[layer.node.op].view
    ]
    return Estimate(tuple(layers), clock.dsp_frequency)


def _layer_cost(plan: QuantPlan, layer: Layer, target: Speed, clock: Clock) -> LayerCost:
    inputs = sum(_bytes(plan, name) for name in layer.inputs)
    outputs = sum(_bytes(plan, name) for name in layer.outputs if _is_read(plan, name))
    moved = inputs + outputs + _parameter_bytes(layer)
    macs = layer_macs(plan.graph, layer)
    local = target.local_memory_bytes - target.tcm_reserve_low - target.tcm_reserve_high
    tiles = max(1, math.ceil(2 * moved / max(local, 1)))
    memory = moved / target.dma_bytes_per_cycle + tiles * (clock.read_delay + clock.write_delay)
    pair = _pair(plan, layer)
    compute = macs / target.macs_per_cycle[pair] if macs else _elementwise_cycles(plan, layer, target)
    return LayerCost(layer.name, layer.kind, pair, macs, moved, compute, memory)


def _host_cost(graph: Graph, layer: Layer, target: Speed) -> LayerCost:
    work = host_work(graph, layer.node)
    names = {*layer.node.inputs, *layer.node.outputs} & graph.tensors.keys() if work else set()
    moved = sum(4 * math.prod(graph.shape(name)) for name in names)
    compute, memory = work / target.host_macs_per_cycle, moved / target.dma_bytes_per_cycle
    return LayerCost(layer.name, layer.kind, HOST, host_macs(graph, layer.node), moved, compute, memory)


def layer_macs(graph: Graph, layer: Layer) -> int:
    """Return the multiply-accumulates of a layer for one image; 0 for layers without products of sums."""
    return node_macs(graph, layer.node.op, layer.node.inputs, layer.node.outputs[0])


def node_macs(graph: Graph, op: str, inputs: tuple[str, ...], output: str) -> int:
    """Return the multiply-accumulates of an operator for one image."""
    traits = TRAITS.get(op)
    if traits is not None and traits.family == "recurrent":
        steps, batch = graph.shape(inputs[0])[:2]  # both products of each step
        return steps * batch * sum(math.prod(graph.shape(name)) for name in inputs[1:3])
    if traits is None or traits.family != "matrix":
        return 0
    out = math.prod(graph.shape(output) if output in graph.tensors else ())
    weight = graph.shape(inputs[1])
    if op == "Conv":
        return out * math.prod(weight[1:])
    if op == "ConvTranspose":
        return math.prod(graph.shape(inputs[0])) * math.prod(weight[1:])
    return out * graph.shape(inputs[0])[-1]


def _is_read(plan: QuantPlan, name: str) -> bool:
    """Return whether anybody reads the tensor: what nobody reads (the cells of each step) is not written."""
    return name in plan.graph.consumers or name in plan.graph.outputs


def _pair(plan: QuantPlan, layer: Layer) -> str:
    """Return activation and weight types as ``u8s8``: unsigned or signed by the first input's type."""
    params = [plan.tensors[name].dtype for name in (*layer.inputs, *layer.outputs) if name in plan.tensors]
    first = params[0].name if params else "s8"
    weight = layer.weight or layer.matrices.get(1)
    if weight is not None:
        # Stored uint8 weights (pre-quantized networks) take the lanes of signed ones.
        return f"{first}{'s16' if weight.dtype.bits > 8 else 's8'}"
    wide = any(kind.bits == 16 for kind in params)
    return "s16s16" if wide else f"{first}s8"


def _elementwise_cycles(plan: QuantPlan, layer: Layer, target: Speed) -> float:
    names = (*layer.inputs, *layer.outputs)
    wide = any(plan.tensors[name].dtype.bits == 16 for name in names if name in plan.tensors)
    lanes = target.elementwise_lanes.bits16 if wide else target.elementwise_lanes.bits8
    read = sum(math.prod(plan.graph.shape(name)) for name in layer.inputs)
    written = sum(math.prod(plan.graph.shape(name)) for name in layer.outputs)
    return _PASSES.get(TRAITS[layer.node.op].family, 1) * max(read, written) / lanes


def _bytes(plan: QuantPlan, name: str) -> int:
    params = plan.tensors.get(name)
    width = 4 if params is None else params.dtype.bits // 8
    return math.prod(plan.graph.shape(name)) * width


def _parameter_bytes(layer: Layer) -> int:
    weight = 0 if layer.weight is None else layer.weight.values.size * (layer.weight.dtype.bits // 8)
    wide = layer.weight is not None and layer.weight.dtype.bits == 16
    bias = 0 if layer.bias is None else layer.bias.size * (8 if wide else 4)
    matrices = sum(item.values.size * (item.dtype.bits // 8) for item in layer.matrices.values())
    return weight + bias + matrices + sum(values.nbytes for values, _ in layer.operands.values())
