"""Channels that have one value whatever the network sees: their weights go, their value moves into biases.

Folded batch normalization leaves such channels with any weights at all: huge ones where the variance was near zero.
They would stretch the scale of a whole layer for nothing. What a channel can hold follows from interval arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.ops import channel_limits, clamp_range, is_clamp, traits_of
from slimai.quantizer.plan import Decision
from slimai.quantizer.weight_layout import grouped, ungrouped

# Rows this far below the layer's largest weight do not reach the last bit of a float32 sum.
NEGLIGIBLE = 2.0**-30


Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Lowest and highest value of each channel (axis 1), [C] each; infinite where nothing is known."""

    low: Vector
    high: Vector

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which channels hold one value."""
        same: NDArray[np.bool_] = (self.low == self.high) & np.isfinite(self.low)
        return same

    def clipped(self, low: float, high: float | Vector) -> Bounds:
        """Return the bounds after a clamp."""
        return Bounds(np.clip(self.low, low, high), np.clip(self.high, low, high))


def fold_constant_channels(graph: Graph) -> tuple[Graph, tuple[Decision, ...]]:
    """Return a network that computes the same with constant channels folded, and what was folded."""
    folder = _Folder(graph)
    for node in graph.nodes:
        folder.visit(node)
    if not folder.constants:
        return graph, ()
    return graph.edited(graph.nodes, constants=folder.constants), tuple(folder.decisions)


class _Folder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.bounds: dict[str, Bounds] = {}
        self.constants: dict[str, Array] = {}
        self.decisions: list[Decision] = []

    def visit(self, node: Node) -> None:
        """Work out the bounds of the node's outputs; rewrite it when it is a layer."""
        traits = traits_of(node)
        if traits is not None and traits.whole_windows and self._foldable(node):
            self._layer(node)
        elif traits is not None and node.op in _RULES:
            self.bounds[node.outputs[0]] = _RULES[node.op](self, node)

    def of(self, tensor: str) -> Bounds:
        """Return the bounds of a tensor; unknown ones are infinite."""
        shape = self.graph.shape(tensor)
        unknown = np.full(shape[1] if len(shape) > 1 else 1, np.inf)
        return self.bounds.get(tensor, Bounds(-unknown, unknown))

    def _foldable(self, node: Node) -> bool:
        """Return whether weights and bias are constants of this node alone, the bias one number a channel."""
        names = [name for name in node.inputs[1:] if name]
        constant = all(name in self.graph.constants and len(self.graph.consumers[name]) == 1 for name in names)
        channels = self.graph.shape(node.outputs[0])[1] if len(self.graph.shape(node.outputs[0])) > 1 else 0
        sizes = [self.graph.constants[name].size for name in names[1:]] if constant else []
        return constant and channels > 0 and all(size == channels for size in sizes)

    def _layer(self, node: Node) -> None:
        weights = self.graph.constants[node.inputs[1]].astype(np.float64)
        has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
        channels = self.graph.shape(node.outputs[0])[1]
        bias = self.graph.constants[node.inputs[2]].astype(np.float64).reshape(-1) if has_bias else np.zeros(channels)
        matrix = grouped(node, weights).copy()
        before = (matrix.copy(), bias.copy())
        source = self.of(node.inputs[0])
        self._fold_columns(node, matrix, bias, source, has_bias=has_bias)
        found = _reach(matrix, bias, source, padded=_padded(node))
        if self._fold_rows(node, matrix, bias, found, has_bias=has_bias):
            found = _reach(matrix, bias, source, padded=_padded(node))
        self.bounds[node.outputs[0]] = found
        if not (np.array_equal(before[0], matrix) and np.array_equal(before[1], bias)):
            self.constants[node.inputs[1]] = ungrouped(node, weights, matrix).astype(np.float32)
            if has_bias:
                self.constants[node.inputs[2]] = bias.reshape(self.graph.shape(node.inputs[2])).astype(np.float32)

    def _fold_columns(self, node: Node, matrix: Array, bias: Array, source: Bounds, *, has_bias: bool) -> None:
        """Drop the weights on constant input channels; a constant other than 0 needs a bias and no padding."""
        value = np.where(source.constant, source.low, 0.0)
        movable = source.constant & ((value == 0.0) | (has_bias and not _padded(node)))
        groups, _, inputs, _ = matrix.shape
        used = movable.reshape(groups, inputs) & (np.abs(matrix).max(axis=(1, 3)) > 0)
        if used.any():
            moved = np.where(used, value.reshape(groups, inputs), 0.0)
            bias += np.einsum("goik,gi->go", matrix, moved).reshape(-1)
            matrix *= ~used[:, None, :, None]
            self.decisions.append(
                Decision(node.name, f"{int(used.sum())} constant input channels folded", "they hold one value")
            )

    def _fold_rows(self, node: Node, matrix: Array, bias: Array, found: Bounds, *, has_bias: bool) -> bool:
        """Drop the weights of output channels that are constant after the clamp that follows; return whether any is."""
        peaks = np.abs(matrix).max(axis=(2, 3)).reshape(-1)
        tiny = peaks < peaks.max(initial=0.0) * NEGLIGIBLE
        clamped = _after_clamp(self.graph, node, found)
        settled = clamped.constant & (has_bias | (clamped.low == 0.0))
        dropped = (settled | tiny) & (peaks > 0)
        if dropped.any():
            matrix *= ~dropped.reshape(matrix.shape[0], -1)[:, :, None, None]
            why = "a channel is what its clamp makes of it, or its weights are below the last bit of the layer's"
            bias[settled & dropped] = clamped.low[settled & dropped]
            self.decisions.append(Decision(node.name, f"{int(dropped.sum())} constant output channels folded", why))
        return bool(dropped.any())


def _after_clamp(graph: Graph, node: Node, found: Bounds) -> Bounds:
    """Return the bounds behind the Relu or Clip that alone reads the node, else `found`."""
    reader = graph.only_consumer(node.outputs[0])
    return found if reader is None or not is_clamp(reader) else found.clipped(*_limits(reader))


def _limits(clamp: Node) -> tuple[float, float | Vector]:
    """Return the limits of a Relu or Clip, the upper ones [C] where channels have their own."""
    low, high = clamp_range(clamp)
    by_channel = channel_limits(clamp)
    return low, high if by_channel is None else np.array(by_channel)


def _padded(node: Node) -> bool:
    return node.op == "Conv" and any(node.attrs["pads"])


def _reach(matrix: Array, bias: Array, source: Bounds, *, padded: bool) -> Bounds:
    """Return the bounds of a layer's output: each weight at its worst end, zeros where padding may stand in."""
    groups, _, inputs, _ = matrix.shape
    low, high = (side.reshape(groups, 1, inputs) for side in (source.low, source.high))
    if padded:
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    up, down = np.maximum(matrix, 0.0).sum(axis=3), np.minimum(matrix, 0.0).sum(axis=3)
    with np.errstate(invalid="ignore"):
        most = np.where(up == 0, 0.0, up * high) + np.where(down == 0, 0.0, down * low)
        least = np.where(up == 0, 0.0, up * low) + np.where(down == 0, 0.0, down * high)
    return Bounds(least.sum(axis=2).reshape(-1) + bias, most.sum(axis=2).reshape(-1) + bias)


def _clamp(folder: _Folder, node: Node) -> Bounds:
    return folder.of(node.inputs[0]).clipped(*_limits(node))


def _same(folder: _Folder, node: Node) -> Bounds:
    return folder.of(node.inputs[0])


def _with_zero(folder: _Folder, node: Node) -> Bounds:
    """Bounds after padding by 0 (or an average that may count padding)."""
    found = folder.of(node.inputs[0])
    if node.op == "Pad" and (node.attrs["value"] != 0.0 or not _channels_stay(folder.graph, node)):
        return _unknown(folder.graph, node)
    return Bounds(np.minimum(found.low, 0.0), np.maximum(found.high, 0.0))


def _channels_stay(graph: Graph, node: Node) -> bool:
    before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    return len(before) > 1 and before[:2] == after[:2]


def _unknown(graph: Graph, node: Node) -> Bounds:
    shape = graph.shape(node.outputs[0])
    infinite = np.full(shape[1] if len(shape) > 1 else 1, np.inf)
    return Bounds(-infinite, infinite)


def _add(folder: _Folder, node: Node) -> Bounds:
    shapes = [folder.graph.shape(name) for name in (*node.inputs, *node.outputs)]
    known = len(set(shapes)) == 1 and not any(name in folder.graph.constants for name in node.inputs)
    if not known:
        return _unknown(folder.graph, node)
    a, b = (folder.of(name) for name in node.inputs)
    return Bounds(a.low + b.low, a.high + b.high)


_RULES: dict[str, Callable[[_Folder, Node], Bounds]] = {
    "Relu": _clamp,
    "Clip": _clamp,
    "MaxPool": _same,
    "GlobalAveragePool": _same,
    "AveragePool": _with_zero,
    "Pad": _with_zero,
    "Add": _add,
}
