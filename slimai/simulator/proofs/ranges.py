"""The integers that an activation can hold: those of its type, within the clamp of the layer that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slimai.graph.ops import TRAITS, is_clamp
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import QuantPlan
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import Int
from slimai.simulator.ops.move import pad_value
from slimai.simulator.requantize import clamp_limits


@dataclass(frozen=True, eq=False)
class ValueRange:
    """Inclusive ends of a tensor's integers; `channel_high` [C]: upper ends of the channels of axis 1, or None."""

    low: int
    high: int
    channel_high: Int | None = None

    @classmethod
    def whole(cls, params: QParams) -> ValueRange:
        """Return all integers of the type."""
        return cls(params.dtype.low, params.dtype.high)

    def by_channel(self, channels: int, axis: int) -> tuple[Int, Int]:
        """Return (low, high), [channels] each, of the slices along `axis`."""
        low, high = np.full(channels, self.low, np.int64), np.full(channels, self.high, np.int64)
        return low, self.channel_high if self.channel_high is not None and axis == 1 else high


def value_ranges(plan: QuantPlan, contexts: Sequence[LayerContext]) -> Mapping[str, ValueRange]:
    """Return the range of every quantized activation; `contexts` are the integer layers of the plan, in order.

    A clamp reaches through layers that pass integers on as they are (moves, maximum pools, clamps of their own).
    """
    found = {name: ValueRange.whole(params) for name, params in plan.tensors.items()}
    for context in contexts:
        for name in context.layer.outputs:
            if name in plan.tensors:
                found[name] = _written(context, name, found)
    return found


def _written(context: LayerContext, name: str, known: Mapping[str, ValueRange]) -> ValueRange:
    out, layer, recipe = context.tensors[name], context.layer, context.rule.recipe
    low, high = clamp_limits(out, layer.activation or (layer.node if is_clamp(layer.node) else None), recipe)
    limits = context.channel_high
    passed = _passed_on(context, name, known)
    if passed is None:
        return ValueRange(low, high, limits)
    top = min(max(passed.high, low), high)
    inner = passed.channel_high if layer.node.op in {"MaxPool", "Relu", "Clip"} else None
    ends = [item for item in (inner, limits) if item is not None]
    if not ends:
        return ValueRange(min(max(passed.low, low), high), top)
    tops = np.clip(ends[0] if len(ends) == 1 else np.minimum(ends[0], ends[1]), low, top)
    return ValueRange(min(max(passed.low, low), high), top, tops)


def _passed_on(context: LayerContext, name: str, known: Mapping[str, ValueRange]) -> ValueRange | None:
    """Return the range of what the layer copies, or None where its outputs are no integers of its inputs."""
    node, tensors = context.layer.node, context.tensors
    copies = TRAITS[node.op].family == "move" or node.op == "MaxPool" or is_clamp(node)
    if not copies or context.layer.kind == "Requantize" or context.layer.operands:
        return None
    if any(tensors.get(source) != tensors[name] for source in context.layer.inputs):
        return None
    parts = [known[source] for source in context.layer.inputs]
    if node.op == "Pad" and node.attrs.get("mode", "constant") == "constant":
        value = pad_value(float(node.attrs.get("value", 0.0)), tensors[name])
        parts.append(ValueRange(value, value))
    one = parts[0].channel_high if len(parts) == 1 else None
    return ValueRange(min(part.low for part in parts), max(part.high for part in parts), one)
