"""From a network quantized elsewhere to an integer network: its own parameters, or symmetric ones (SPEC 13).

Level 3 keeps every stored parameter. Levels 0 to 2 make activations symmetric: the stored range
[(qmin - z) s, (qmax - z) s] becomes s8 with the scale s * max(|qmin - z|, |qmax - z|) / 127; at level 2 a range
without negative values becomes u8 with its own scale. Weights keep their granularity, so levels 0 and 1 agree.
A network with 16-bit activations (int16x8) has level 4 alone, which keeps everything as stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.ir import Array, Node
from slimai.graph.names import node_names, profile_names
from slimai.graph.ops import TRAITS
from slimai.graph.tflite.stored import StoredNetwork, StoredParams
from slimai.quantizer.levels import LEVELS, as_float32, limits_of
from slimai.quantizer.params import INT_TYPES, S8, QParams
from slimai.quantizer.plan import Decision, Layer, QuantPlan, QWeight
from slimai.quantizer.planner import layer_kinds

if TYPE_CHECKING:
    from slimai.schema.target import TargetSection

AS_STORED = 3  # the level that keeps zero points: `Scheme.asymmetric`
WIDE_AS_STORED = 4
MADE_SYMMETRIC = "weights made symmetric"
_TYPES = {kind.numpy.name: kind for kind in INT_TYPES.values()}


def level_as_stored(network: StoredNetwork) -> int:
    """Return the level that keeps every stored parameter."""
    return WIDE_AS_STORED if network.wide else AS_STORED


def require_level(network: StoredNetwork, level: int) -> None:
    """Refuse a level whose activations have another width than the network's.

    Raises:
        InputError: an 8-bit network allows levels 0 to 3, an int16x8 one level 4.
    """
    if network.wide and level != WIDE_AS_STORED:
        message = f"a network with 16-bit activations (int16x8) allows level {WIDE_AS_STORED} only"
        cure = f"set quantization.accuracy_level={WIDE_AS_STORED}"
        raise InputError.at("quantization.accuracy_level", message, level, cure=cure)
    known = [number for number, scheme in LEVELS.items() if scheme.bits == 8]
    if not network.wide and level not in known:
        message = f"a pre-quantized model allows levels {min(known)} to {max(known)}"
        raise InputError.at("quantization.accuracy_level", message, level)


def stored_plan(
    network: StoredNetwork, level: int | None = None, *, keep_asymmetric_weights: bool = False
) -> QuantPlan:
    """Return the integer network of a stored one at an accuracy level; by default the one that keeps all as stored.

    keep_asymmetric_weights: run weights with a zero point as they are; else they become s8 symmetric, and the
    plan's decisions tell what that costs.

    Raises:
        InputError: the level is none of the network's (`require_level`).
    """
    chosen = level_as_stored(network) if level is None else level
    require_level(network, chosen)
    recurrent = next((node for node in network.graph.nodes if TRAITS[node.op].family == "recurrent"), None)
    if recurrent is not None and not keeps_stored(chosen):
        message = f"the int8 {recurrent.op} '{recurrent.name}' keeps its stored integers, which only level 3 does"
        raise InputError.at("quantization.accuracy_level", message, chosen, cure=f"use level {AS_STORED}")
    return _Planner(network, chosen, keep_asymmetric_weights).plan()


def level_params(stored: StoredParams, level: int) -> QParams:
    """Return the parameters of an activation at a level."""
    kind, zero, scale = _TYPES[stored.dtype], stored.zero_point, float(stored.scale[0])
    scheme = LEVELS[level]
    if keeps_stored(level):
        return QParams(kind, scale, zero)
    wanted = scheme.type_of(nonnegative=zero == kind.low)
    reach = kind.high - zero if not wanted.signed else max(abs(kind.low - zero), abs(kind.high - zero))
    return QParams(wanted, as_float32(scale * reach / wanted.high))


def keeps_stored(level: int) -> bool:
    """Return whether a level keeps scales and zero points of activations as they are stored."""
    return level in (AS_STORED, WIDE_AS_STORED)


def preset_as_stored(plan: QuantPlan, target: TargetSection) -> str:
    """Return the preset that computes what TFLite's kernels compute: of 16-bit inputs, or for every 8-bit layer."""
    return target.native.s16 if plan.level == WIDE_AS_STORED else target.native.asym8


@dataclass
class _Planner:
    network: StoredNetwork
    level: int
    keep_asymmetric: bool
    decisions: list[Decision] = field(default_factory=list)

    def plan(self) -> QuantPlan:
        graph = self.network.graph
        names = node_names(graph, layer_kinds(graph))
        quantized = [name for name in graph.activations() if name in self.network.params]
        tensors = {name: level_params(self.network.params[name], self.level) for name in quantized}
        clamps = {node.inputs[0]: node for node in graph.nodes if node.name in self.network.folded}
        layers = tuple(
            self._layer(node, names[node.name], tensors, clamps.get(node.outputs[0]))
            for node in graph.nodes
            if node.name not in self.network.folded
        )
        visible = {name: params for name, params in tensors.items() if name not in clamps}
        shown = profile_names(graph, layer_kinds(graph))
        return QuantPlan(
            graph,
            layers,
            visible,
            self.level,
            {name: shown[name] for name in visible},
            tuple(self.decisions),
            limits={name: limits_of(params) for name, params in visible.items()},
            declared=self.network.declared,
        )

    def _layer(self, node: Node, name: str, tensors: Mapping[str, QParams], clamp: Node | None) -> Layer:
        graph = self.network.graph
        inputs = tuple(item for item in node.inputs if item not in graph.constants)
        outputs = tuple(name for name in node.outputs if name) if clamp is None else clamp.outputs
        node = node if keeps_stored(self.level) else _on_real_values(node)
        weight, bias = self._weight_and_bias(node, tensors)
        matrices = self._matrices(node)
        operands = {} if weight is not None or matrices else self._operands(node)
        kind = layer_kinds(graph).get(node.name, node.op)
        return Layer(
            name, kind, node, inputs, outputs, weight=weight, bias=bias, operands=operands, activation=clamp,
            matrices=matrices,
        )  # fmt: skip

    def _matrices(self, node: Node) -> dict[int, QWeight]:
        """Return weights and biases of a recurrent operator as stored, by input position."""
        if TRAITS[node.op].family != "recurrent":
            return {}
        found = ((position, node.inputs[position]) for position in (1, 2, 3))
        stored = {position: (self.network.integers[name], self.network.params[name]) for position, name in found}
        return {
            position: QWeight(values, _TYPES[params.dtype], params.scale, params.axis)
            for position, (values, params) in stored.items()
        }

    def _weight_and_bias(
        self, node: Node, tensors: Mapping[str, QParams]
    ) -> tuple[QWeight | None, NDArray[np.int64] | None]:
        traits = TRAITS[node.op]
        if traits.weight is None or traits.bias is None:
            return None, None
        name = node.inputs[traits.weight]
        stored = self.network.params[name]
        weight = self._weight(node, name, stored)
        if len(node.inputs) <= traits.bias:
            return weight, None
        bias = self.network.integers[node.inputs[traits.bias]].astype(np.int64)
        before = self.network.params[node.inputs[0]].scale[0] * stored.scale
        after = tensors[node.inputs[0]].scale * weight.scale
        return weight, bias if np.array_equal(before, after) else _rescaled(bias, before, after)

    def _weight(self, node: Node, name: str, stored: StoredParams) -> QWeight:
        values, kind = self.network.integers[name], _TYPES[stored.dtype]
        if self.keep_asymmetric or (kind is S8 and not stored.zero_point):
            return QWeight(values, kind, stored.scale, stored.axis, stored.zero_point)
        made, decision = symmetric_weight(values, stored)
        self.decisions.append(Decision(node.name, *decision))
        return made

    def _operands(self, node: Node) -> dict[int, tuple[Array, QParams]]:
        """Return the stored constants of an elementwise operator, PRelu or Concat, by input position."""
        found = {}
        for position, name in enumerate(node.inputs):
            if name not in self.network.integers:
                continue
            stored = self.network.params[name]
            params = level_params(stored, self.level)
            values = self.network.integers[name]
            same = params == level_params(stored, AS_STORED)
            found[position] = (values if same else params.quantize(stored.dequantize(values)), params)
        return found


def _on_real_values(node: Node) -> Node:
    """Return the node without the mark that its integers are copied: the level changes the grids."""
    if "integers_kept" not in node.attrs:
        return node
    return Node(
        node.name,
        node.op,
        node.inputs,
        node.outputs,
        {key: value for key, value in node.attrs.items() if key != "integers_kept"},
        node.domain,
    )


def _rescaled(bias: NDArray[np.int64], before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bias at the new product of scales; a channel whose scale is 0 keeps its integers."""
    ratio = np.divide(before, after, out=np.ones(np.broadcast(before, after).shape), where=after > 0)
    return np.rint(bias * ratio).astype(np.int64)


def symmetric_weight(values: Array, stored: StoredParams) -> tuple[QWeight, tuple[str, str]]:
    """Return s8 weights without a zero point, and what the change did (what, why).

    Where all |q - z| fit 127 the integers are shifted and nothing is lost. Else the largest |q - z| that is kept is
    chosen between 127 (the grid stays, what is beyond is clipped) and the largest of all (the grid gets coarser): the
    one with the least squared ratio of noise to signal, averaged over output channels. A channel of small weights
    counts as much as one of large weights, and one that is ruined counts more than many that are a little worse.
    """
    centred = values.astype(np.int64) - stored.zero_point
    reach = int(np.abs(centred).max(initial=0))
    if reach <= S8.high:
        weight = QWeight(centred.astype(np.int8), S8, stored.scale, stored.axis)
        return weight, (MADE_SYMMETRIC, f"zero point {stored.zero_point} taken away: no weight changes")
    rows = np.moveaxis(centred, stored.axis, 0).reshape(centred.shape[stored.axis], -1).astype(np.float64)
    _, kept = min((float(np.square(_noise(rows, kept)).mean()), kept) for kept in range(S8.high, reach + 1))
    ratio = kept / S8.high
    scale = np.array([as_float32(float(stored.scale[0]) * ratio)])
    integers = np.clip(np.rint(centred / ratio), -S8.high, S8.high).astype(np.int8)
    clipped = int(np.count_nonzero(np.abs(centred) > kept))
    decibel = -10 * np.log10(float(_noise(rows, kept).mean()))
    why = (
        f"zero point {stored.zero_point} reaches {reach} steps: {clipped} of {centred.size} weights clipped at {kept}, "
        f"scale {ratio:.3f} times coarser, {decibel:.1f} dB signal to noise a channel"
    )
    return QWeight(integers, S8, scale, stored.axis), (MADE_SYMMETRIC, why)


def _noise(rows: NDArray[np.float64], kept: int) -> NDArray[np.float64]:
    """Return noise over signal of each row, [O], when |row| is clipped at `kept` and rounded to 127 steps."""
    ratio = kept / S8.high
    found = np.clip(np.rint(rows / ratio), -S8.high, S8.high) * ratio
    signal = np.square(rows).sum(axis=1)
    noise: NDArray[np.float64] = np.square(found - rows).sum(axis=1) / np.where(signal > 0, signal, 1.0)
    return noise
