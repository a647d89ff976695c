"""Limits of tensors that hold sentinels, so that their lowest integer loses wherever it is read.

The limits are those of the data (calibration leaves sentinels out). In front of Softmax they reach so far below the
smallest row maximum m that the lowest integer gets a weight below half a step: m - (bits + 2) ln 2. What is added,
multiplied or moved on the way reaches far enough that the sum ends at that integer, whatever the other operand is;
constants are cut where that is so. The sum is then Where(mask, lowest integer, scores) in every arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log

import numpy as np
from numpy.typing import NDArray

from slimai.calibration.limits import Limits, full_limits
from slimai.calibration.statistics import Statistics
from slimai.graph.ir import Array, Graph, Node
from slimai.graph.sentinels import Sentinel, constant_sentinels, positive_factor, sentinel_tensors

_MARGIN = 1.05  # over what an exact sum would need: both operands are rounded


@dataclass(frozen=True)
class Masks:
    """Limits by tensor, widened; and node name -> largest magnitude that its constants need to have."""

    limits: Mapping[str, Limits]
    reach: Mapping[str, float] = field(default_factory=dict)

    def cut(self, node: Node, values: Array) -> Array:
        """Return a constant of the node with its sentinels cut to what is needed."""
        most = self.reach.get(node.name)
        return values if most is None else np.clip(values, -most, most)


def masked_limits(
    graph: Graph, stats: Statistics, limits: Mapping[str, Limits], bits: int, edited: frozenset[str] = frozenset()
) -> Masks:
    """Return the limits of all tensors, those with sentinels widened (edited ones are final), and cuts of constants."""
    found = sentinel_tensors(graph)
    return Masks(limits) if not found else _Walk(graph, stats, dict(limits), bits, edited, found).masks()


class _Walk:
    """From the readers back to the sources. Sides are mirrored: all numbers here are those of side -1."""

    def __init__(
        self,
        graph: Graph,
        stats: Statistics,
        limits: dict[str, Limits],
        bits: int,
        edited: frozenset[str],
        found: Mapping[str, Sentinel],
    ) -> None:
        self.graph, self.stats, self.limits, self.found = graph, stats, limits, found
        self.edited, self.depth = edited, (bits + 2) * log(2.0)
        self.low: dict[str, float] = {}
        self.reach: dict[str, float] = {}

    def masks(self) -> Masks:
        for node in reversed(self.graph.nodes):
            for name in filter(None, node.outputs):
                if name in self.found:
                    self._settle(name)
                    self._cut(node, name)
        return Masks(self.limits, self.reach)

    def _settle(self, tensor: str) -> None:
        own = self._mirrored(tensor, self.found[tensor].side)
        low = min([own.low, *(self._wanted(node, tensor, own) for node in self.graph.consumers[tensor])])
        self.low[tensor] = low
        if tensor in self.limits and tensor not in self.edited and low < own.low:
            high = own.high
            self.limits[tensor] = Limits(low, high) if self.found[tensor].side < 0 else Limits(-high, -low)

    def _wanted(self, node: Node, tensor: str, own: Limits) -> float:
        """Return the value to which the lowest integer of `tensor` has to reach for this reader."""
        if node.op in {"Softmax", "LogSoftmax"}:
            peak = self.stats[tensor].peak if tensor in self.stats else None
            return own.low if peak is None else min(own.low, peak - self.depth)
        after = [self.low[name] for name in node.outputs if name in self.low]
        if not after:
            return own.low
        if node.op == "Mul":
            factor = positive_factor(self.graph, node, tensor)
            return _MARGIN * min(after) / (1.0 if factor is None else float(factor.min()))
        if node.op == "Add":
            return _MARGIN * (min(after) - self._high(node, tensor))
        return min(after)

    def _cut(self, node: Node, output: str) -> None:
        """Note how large the sentinels among the node's constants need to be for the sum or product to end lowest."""
        low = self.low[output]
        if node.op == "Mul":
            others = [name for name in node.inputs if name not in self.graph.constants]
            most = max(map(self._largest, others), default=0.0)
            if most > 0:
                self.reach[node.name] = max(_MARGIN * -low / most, 1e-30)
        elif node.op == "Add":
            constant = next((name for name in node.inputs if name in self.graph.constants), "")
            self.reach[node.name] = self._with_data(node, constant, _MARGIN * (self._high(node, constant) - low))
        elif node.op in {"Conv", "ConvTranspose", "Gemm"} and len(node.inputs) > 2:
            own = self._mirrored(output, self.found[output].side)
            self.reach[node.name] = self._with_data(node, node.inputs[2], 2 * _MARGIN * (own.high - low))

    def _largest(self, tensor: str) -> float:
        """Return the largest magnitude that the tensor had in calibration, as far as its limits let it through."""
        own = self._mirrored(tensor, -1)
        held = max(-own.low, own.high)
        if tensor not in self.stats:
            return held
        seen = full_limits(self.stats[tensor])
        return min(held, max(-seen.low, seen.high))

    def _with_data(self, node: Node, constant: str, least: float) -> float:
        """Return `least`, or the largest magnitude of what is data among the constant where that is larger."""
        value = self.graph.constant(constant)
        if value is None:
            return least
        side = self.found[node.outputs[0]].side
        data = np.abs(value[~constant_sentinels(value, side)])
        return max(least, float(data.max(initial=0.0)))

    def _high(self, node: Node, tensor: str) -> float:
        """Return the largest value that the other operands of an Add can have (mirrored)."""
        side = self.found[node.outputs[0]].side
        highs = [0.0]
        for name in node.inputs:
            value = self.graph.constant(name)
            if name != tensor and value is not None:
                data: NDArray[np.float32] = -side * value[~constant_sentinels(value, side)]
                highs.append(float(data.max(initial=0.0)))
            elif name != tensor:
                highs.append(self._mirrored(name, side).high)
        return max(highs)

    def _mirrored(self, tensor: str, side: int) -> Limits:
        own = self.limits.get(tensor)
        if own is None:
            own = full_limits(self.stats[tensor]) if tensor in self.stats else Limits(0.0, 0.0)
        return own if side < 0 else Limits(-own.high, -own.low)
