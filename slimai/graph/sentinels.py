"""Values that stand for "never the largest": masks in front of Softmax, paddings of MaxPool. They are no data.

A constant of -1e4 or less (finfo.min, -65504, -inf) that reaches Softmax, LogSoftmax, MaxPool, ReduceMax or ArgMax
through additions, selections, positive factors, Pad and moves alone only says which places lose; so does one of 1e4 or
more in front of ReduceMin or ArgMin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.graph.facts import once_a_graph
from slimai.graph.ir import Array, Graph, Node

LEAST = 1e4
LARGEST = float(np.finfo(np.float32).max)
_SINKS = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "MaxPool", "ReduceMax", "ArgMax"), -1),
    **dict.fromkeys(("ReduceMin", "ArgMin"), 1),
}
_ROWS = ("Softmax", "LogSoftmax")
MOVES = frozenset({"Reshape", "Transpose", "Slice", "Split", "Concat", "Expand", "Tile"})
_BIASED = ("Conv", "ConvTranspose", "Gemm")  # a constant that was added is their bias by now


@dataclass(frozen=True)
class Sentinel:
    """side: -1 where the lowest values are sentinels, 1 where the highest are. limit: magnitude from which on they are.

    axis: of the Softmax that reads the tensor, or None.
    """

    side: int
    limit: float
    axis: int | None = None

    def among(self, values: Array) -> NDArray[np.bool_]:
        """Return which values are sentinels."""
        found: NDArray[np.bool_] = values * values.dtype.type(self.side) >= self.limit
        return found


@once_a_graph
def sentinel_tensors(graph: Graph) -> Mapping[str, Sentinel]:
    """Return the activations that hold sentinels, in graph order."""
    sides = _Sides(graph)
    found: dict[str, Sentinel] = {}
    for node in graph.nodes:
        for name in filter(None, node.outputs):
            side = sides.of(name) if graph.tensors[name].dtype == "float32" else None
            if side is None:
                continue
            limits = [*_brought(graph, node, side), *_carried(graph, node, found)]
            if limits:
                found[name] = Sentinel(side, min(limits), _axis(graph, name))
    return found


def constant_sentinels(values: Array, side: int) -> NDArray[np.bool_]:
    """Return which values of a constant are sentinels of this side."""
    chosen: NDArray[np.bool_] = values * values.dtype.type(side) >= LEAST
    return chosen


def positive_factor(graph: Graph, node: Node, tensor: str) -> Array | None:
    """Return the constant by which a Mul multiplies `tensor`, where all of it is positive."""
    others = [name for name in node.inputs if name != tensor]
    value = graph.constant(others[0]) if len(others) == 1 else None
    return value if value is not None and value.size and bool((value > 0).all()) else None


class _Sides:
    """Which side of a tensor its readers ignore, where they all ignore the same."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[str, int | None] = {}
        for node in reversed(graph.nodes):
            for name in filter(None, node.outputs):
                self.known[name] = self._look(name)

    def of(self, tensor: str) -> int | None:
        return self.known.get(tensor)

    def _look(self, tensor: str) -> int | None:
        readers = self.graph.consumers.get(tensor, ())
        if tensor in self.graph.outputs or not readers:
            return None
        sides = {self._reader(node, tensor) for node in readers}
        return sides.pop() if len(sides) == 1 else None

    def _reader(self, node: Node, tensor: str) -> int | None:
        if node.domain:
            return None
        if node.op in _SINKS:
            return _SINKS[node.op] if tensor not in node.inputs[1:] else None
        if node.op == "Mul" and positive_factor(self.graph, node, tensor) is None:
            return None
        if node.op == "Where" and tensor == node.inputs[0]:
            return None
        if node.op not in {"Add", "Where", "Mul", "Pad"} and (node.op not in MOVES or tensor in node.inputs[1:]):
            return None if node.op != "Concat" else self._common(node)
        return self._common(node)

    def _common(self, node: Node) -> int | None:
        sides = {self.known.get(name) for name in node.outputs if name}
        return sides.pop() if len(sides) == 1 else None


def _brought(graph: Graph, node: Node, side: int) -> Iterator[float]:
    """Yield limits of the sentinels that a node brings in: half of the least magnitude of each constant."""
    if node.domain:
        return
    if node.op == "Pad" and node.attrs["mode"] == "constant" and side * node.attrs["value"] >= LEAST:
        yield min(abs(node.attrs["value"]), LARGEST) / 2
    places = {"Add": (0, 1), "Where": (1, 2), "Mul": (0, 1), **dict.fromkeys(_BIASED, (2,)), "Concat": None}
    wanted = places.get(node.op, ())
    for place, name in enumerate(node.inputs):
        value = graph.constant(name) if name and (wanted is None or place in wanted) else None
        if value is None or value.dtype != np.float32:
            continue
        size = np.abs(value) if node.op == "Mul" else value * np.float32(side)
        large = size[size >= LEAST]
        if large.size:
            yield min(float(large.min()), LARGEST) / 2


def _carried(graph: Graph, node: Node, found: Mapping[str, Sentinel]) -> Iterator[float]:
    for name in node.inputs:
        if name not in found or node.domain or node.op in _SINKS:
            continue
        factor = positive_factor(graph, node, name) if node.op == "Mul" else None
        yield found[name].limit * (1.0 if factor is None else float(factor.min()))


def _axis(graph: Graph, tensor: str) -> int | None:
    for node in graph.consumers.get(tensor, ()):
        if node.op in _ROWS:
            return int(node.attrs.get("axis", -1)) % len(graph.shape(tensor))
    return None
