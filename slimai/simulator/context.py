"""What an operator gets to compile itself: the layer, the parameters around it, its arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.ops import channel_limits
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer
from slimai.simulator.buffers import BufferPool
from slimai.simulator.fixed_point import Int
from slimai.simulator.requantize import (
    Requantizer,
    RequantRule,
    build_requantizer,
    clamp_limits,
    real_multiplier,
    upper_limits,
)

Array = NDArray[Any]
Overflow = Literal["saturate", "wrap"]


@dataclass
class Tally:
    """Counts of one run, by layer name: sums outside the accumulator."""

    overflows: Counter[str] = field(default_factory=Counter)


Kernel = Callable[[Sequence[Array], Tally], Sequence[Array]]


@dataclass(frozen=True, eq=False)
class Compiled:
    """A kernel with the integer tables that it uses (for the exported npz)."""

    kernel: Kernel
    tables: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LayerContext:
    """One integer layer to compile.

    tensors: parameters of every quantized activation. acc_bits, overflow: the target's accumulator.
    """

    layer: Layer
    graph: Graph
    tensors: Mapping[str, QParams]
    rule: RequantRule
    acc_bits: int = 32
    pool: BufferPool = field(default_factory=BufferPool)
    overflow: Overflow = "saturate"

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes of the main node."""
        return self.layer.node.attrs

    def input(self, position: int = 0) -> QParams:
        """Return the parameters of an input of the node, be it an activation or a quantized constant."""
        operand = self.layer.operands.get(position)
        return operand[1] if operand is not None else self.tensors[self.layer.node.inputs[position]]

    def arranged(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the node's operands in its own order: activations from `inputs`, quantized constants between."""
        values = dict(zip(self.layer.inputs, inputs, strict=True))
        operands = self.layer.operands
        return [
            operands[position][0] if position in operands else values[name]
            for position, name in enumerate(self.layer.node.inputs)
            if position in operands or name in values
        ]

    def under(self, rule: RequantRule) -> LayerContext:
        """Return the same layer under another rule (a recipe may prescribe one of its own)."""
        return replace(self, rule=rule)

    @property
    def out(self) -> QParams:
        """Parameters of the (first) output."""
        return self.tensors[self.layer.outputs[0]]

    @property
    def wide(self) -> bool:
        """Whether an input has more than 8 bits, so that sums need the wide accumulator."""
        return any(self.tensors[name].dtype.bits > 8 for name in self.layer.inputs if name in self.tensors)

    @property
    def limits(self) -> tuple[int, int]:
        """Inclusive output limits with the folded activation."""
        return clamp_limits(self.out, self.layer.activation, self.rule.recipe)

    @property
    def channel_high(self) -> Int | None:
        """Inclusive upper limits [C] of the clamp, folded or the layer itself, where they differ by channel."""
        limits = channel_limits(self.layer.activation or self.layer.node)
        return None if limits is None else upper_limits(self.out, limits, self.rule.recipe)

    def accumulator_bits(self) -> int:
        """Return the width of the accumulator: the rule's, or the target's where that is narrower than 32."""
        bits = self.rule.wide_acc_bits if self.wide else self.rule.acc_bits
        return min(bits, self.acc_bits) if self.acc_bits < 32 else bits

    def requantizer(self, *numerator: Any, out: QParams | None = None) -> Requantizer:
        """Return the requantizer of M = product of `numerator` / output scale, clamped as the layer says."""
        target = out or self.out
        limits = self.limits if out is None else None
        return self.requantizer_of(real_multiplier(self.rule, numerator, target.scale), target, limits)

    def requantizer_of(
        self, multiplier: NDArray[np.float64], out: QParams | None = None, limits: tuple[int, int] | None = None
    ) -> Requantizer:
        """Return the requantizer of given multipliers M, [C]; default output and limits are the layer's."""
        if out is None:
            out, limits = self.out, self.limits
        return build_requantizer(self.rule, multiplier, out, self.layer.name, limits)


def centred(values: Array, params: QParams) -> NDArray[np.int64]:
    """Return the integers minus their zero point as int64."""
    return values.astype(np.int64) - params.zero_point
