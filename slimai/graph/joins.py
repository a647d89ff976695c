"""Where outputs are put together from parts: the end of a network, behind its last sums of products.

A join is a node whose output holds values of several kinds side by side, such as boxes in pixels beside scores: a
Concat, a ScatterND, and arithmetic that treats the slices of a tensor differently (by a constant with one value a
slice, by a constant mask, by operands that were padded to fit beside each other). What a join does to each slice
can only be judged by values, so calibration keeps the extremes of the slices of `sliced_tensors`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.ops import traits_of

MOST_SLICES = 1024  # along an axis; longer axes hold places or anchors, not kinds of values
UNLIKE = 16.0  # between factors of channels, from which on a layer that takes them in holds parts of two kinds
_END = ("move", "arithmetic", "clamp", "pointwise")


def end_nodes(graph: Graph) -> tuple[Node, ...]:
    """Return the nodes from which an output is reached through moves and element-wise operators alone, in order."""
    reaching, found = set(graph.outputs), []
    for node in reversed(graph.nodes):
        traits = traits_of(node)
        if traits is not None and traits.integer and traits.family in _END and reaching.intersection(node.outputs):
            reaching.update(name for name in node.inputs if name)
            found.append(node)
    return tuple(reversed(found))


def joins_slices(graph: Graph, node: Node) -> bool:
    """Return whether the node may give the slices of its output unlike ranges, by what is known without values."""
    values = [graph.constants.get(name) for name in node.inputs if name]
    if node.op == "ScatterND":
        return True
    if node.op == "Where":
        return values[0] is not None and values[0].size > 1
    if node.op in ("Add", "Sub", "Max", "Min") and all(value is None for value in values):
        return all(_padded(graph, name) for name in node.inputs)
    arithmetic = node.op in ("Add", "Sub", "Mul", "Div", "Max", "Min")
    return arithmetic and any(value is not None and value.size > 1 and np.ptp(value) > 0 for value in values)


def unlike_factors(graph: Graph, node: Node, factors: Array) -> bool:
    """Return whether a node at the end of a network gives its channels unlike ranges by these factors, [C]."""
    sizes = np.abs(factors)
    kept = sizes[sizes > 0]
    return kept.size > 1 and kept.max() > UNLIKE * kept.min() and node.name in {item.name for item in end_nodes(graph)}


def _padded(graph: Graph, tensor: str) -> bool:
    maker = graph.producers.get(tensor)
    return maker is not None and maker.op == "Pad"


def sliced_tensors(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the activations whose slices have to be looked at -> the axes, counted from the last, -1."""
    found: dict[str, tuple[int, ...]] = {}
    for node in end_nodes(graph):
        if joins_slices(graph, node):
            for name in _around(graph, node):
                found[name] = slice_axes(graph, name)
    return found


def slice_axes(graph: Graph, tensor: str) -> tuple[int, ...]:
    """Return the axes of a tensor that may hold values of several kinds: 2 to `MOST_SLICES` long, no batch."""
    shape = graph.shape(tensor)
    first = 1 if graph.batchable else 0
    return tuple(axis - len(shape) for axis in range(first, len(shape)) if 2 <= shape[axis] <= MOST_SLICES)


def _around(graph: Graph, node: Node) -> Iterator[str]:
    """Yield the float activations that the node reads and writes, and what its only reader makes of them."""
    for name in (*node.inputs, *node.outputs):
        if name and name not in graph.constants and graph.tensors[name].dtype == "float32":
            yield name
    reader = graph.only_consumer(node.outputs[0])  # a clamp may become part of the node
    if reader is not None and reader.op in ("Relu", "Clip"):
        yield reader.outputs[0]
