"""What a set of nodes in 16 bit may cost beside time: bytes of weights or of the arena, a share of the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slimai.schema.quantization import MixGoal
from slimai.simulator.cost import node_macs

if TYPE_CHECKING:
    from slimai.app.candidates.quantizer import QuantizedCandidate
    from slimai.quantizer.plan import QuantPlan


@dataclass(frozen=True)
class Budget:
    """text: the goal in words. limit: the most that `total` may be. by_node: what each node adds to it.

    additive: whether the total is the sum over the nodes; else `by_node` says only which nodes tell more.
    """

    text: str
    limit: float
    by_node: Callable[[QuantPlan], Mapping[str, float]]
    additive: bool = True

    def total(self, item: QuantizedCandidate) -> float | None:
        """Return what a candidate takes of the budget; None where that is not known: of the arena with host layers."""
        return sum(self.by_node(item.plan).values()) if self.additive else item.arena

    def kept_by(self, item: QuantizedCandidate) -> bool:
        """Return whether a candidate stays within the budget."""
        total = self.total(item)
        return total is not None and total <= self.limit

    def room(self, item: QuantizedCandidate) -> float:
        """Return what a candidate leaves of an additive budget."""
        return self.limit - sum(self.by_node(item.plan).values())


def budget_of(goal: MixGoal | None) -> Budget | None:
    """Return the budget that a goal names, or None where it names a score or a time."""
    if goal is not None and goal.weight_bytes is not None:
        return Budget(f"weight_bytes {goal.weight_bytes}", goal.weight_bytes, weight_bytes)
    if goal is not None and goal.max_share is not None:
        return Budget(f"max_share {goal.max_share:g}", goal.max_share, wide_share)
    if goal is not None and goal.arena_bytes is not None:
        return Budget(f"arena_bytes {goal.arena_bytes}", goal.arena_bytes, activation_bytes, additive=False)
    return None


def weight_bytes(plan: QuantPlan) -> dict[str, float]:
    """Return the bytes of the integer weights by node name; biases and tables left out."""
    found: dict[str, float] = {}
    for layer in plan.layers:
        weights = [layer.weight, *layer.matrices.values()]
        size = sum(item.values.size * item.dtype.bits / 8 for item in weights if item is not None)
        found[layer.node.name] = found.get(layer.node.name, 0.0) + size
    return found


def wide_share(plan: QuantPlan) -> dict[str, float]:
    """Return by node name its part of all multiply-accumulates, where it reads 16 bits; 0 elsewhere."""
    layers = [layer for layer in plan.layers if layer.mode == "integer"]
    macs = {
        layer.name: float(node_macs(plan.graph, layer.node.op, layer.node.inputs, layer.node.outputs[0]))
        for layer in layers
    }
    whole = sum(macs.values()) or 1.0
    found: dict[str, float] = {}
    for layer in plan.layers:
        read = [plan.tensors[name].dtype.bits for name in layer.inputs if name in plan.tensors]
        wide = layer.name in macs and max(read, default=8) > 8
        found[layer.node.name] = found.get(layer.node.name, 0.0) + (macs[layer.name] / whole if wide else 0.0)
    return found


def activation_bytes(plan: QuantPlan) -> dict[str, float]:
    """Return the bytes of the activations that a node reads and writes, by its name; some of them lie in the arena."""
    found: dict[str, float] = {}
    for layer in plan.layers:
        names = [name for name in dict.fromkeys((*layer.inputs, *layer.outputs)) if name in plan.tensors]
        size = sum(_elements(plan, name) * plan.tensors[name].dtype.bits / 8 for name in names)
        found[layer.node.name] = found.get(layer.node.name, 0.0) + size
    return found


def _elements(plan: QuantPlan, tensor: str) -> int:
    return int(np.prod(plan.graph.shape(plan.sources.get(tensor, tensor))))
