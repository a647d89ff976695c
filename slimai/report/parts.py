"""The noise of a network's outputs, each part of a joined output by its own signal.

Where boxes in pixels and scores lie in one output, noise over signal of the whole is that of the boxes. Behind a join
the slices of an output are sorted into parts by their order of magnitude, and every part counts alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.joins import MOST_SLICES, end_nodes, joins_slices
from slimai.report.similarity import finite_ratio

Arrays = Mapping[str, NDArray[Any]]
MAGNITUDE = 16.0  # slices whose largest values are within this factor form a part


@dataclass(frozen=True)
class Parts:
    """Slices of one output: the part, 0 to `count` - 1, of each slice along `axis` (counted from the last, -1)."""

    axis: int
    label: NDArray[np.int64]
    count: int

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of `values` [N, ...] over each part."""
        rows = np.moveaxis(values, self.axis, 0).reshape(self.label.size, -1).sum(axis=1)
        return np.asarray(np.bincount(self.label, rows, self.count), np.float64)


WHOLE = Parts(-1, np.zeros(1, np.int64), 1)


class OutputNoise:
    """Noise over signal of the outputs of one network, summed over batches of images."""

    def __init__(self, parts: Mapping[str, Parts]) -> None:
        """`parts`: of each output that counts, as `output_parts` gives them."""
        self._parts = parts
        self._sums = {name: np.zeros((2, item.count)) for name, item in parts.items()}

    def add(self, truth: Arrays, found: Arrays) -> None:
        """Take in float values and those to be judged, real ones, [N, ...] by output."""
        for name, item in self._parts.items():
            real = truth[name].astype(np.float64)
            noise = np.square(found[name].astype(np.float64) - real)
            self._sums[name] += [_sums(item, noise), _sums(item, np.square(real))]

    def ratio(self) -> float:
        """Return the mean over the outputs of the mean over their parts of noise over signal, at most 1e6 each.

        Parts without a signal count only where an output has no other.
        """
        return math.fsum(map(_mean_ratio, self._sums.values())) / max(len(self._sums), 1)


def _sums(parts: Parts, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([values.sum()]) if parts.count == 1 else parts.sums(values)


def _mean_ratio(sums: NDArray[np.float64]) -> float:
    noise, signal = sums
    alive = signal > 0 if (signal > 0).any() else np.ones(signal.size, bool)
    return math.fsum(map(finite_ratio, noise[alive], signal[alive])) / int(alive.sum())


def output_parts(graph: Graph, truth: Arrays) -> dict[str, Parts]:
    """Return the parts of each output in `truth` (float values, [N, ...]); one part for an output without a join."""
    joined = set(_joined(graph))
    return {name: _parts(values) if name in joined else WHOLE for name, values in truth.items()}


def _joined(graph: Graph) -> Iterator[str]:
    """Yield the tensors at the end of the network that a join wrote, or an operator behind one."""
    behind: set[str] = set()
    for node in end_nodes(graph):
        if node.op == "Concat" or behind.intersection(node.inputs) or joins_slices(graph, node):
            behind.update(node.outputs)
            yield from node.outputs


def _parts(values: NDArray[Any]) -> Parts:
    """Return the parts along the shortest axis whose slices differ by more than `MAGNITUDE`."""
    sizes = {axis - values.ndim: values.shape[axis] for axis in range(1, values.ndim)}
    for axis, size in sorted(sizes.items(), key=lambda item: item[1]):
        if not 2 <= size <= MOST_SLICES:
            continue
        largest = np.abs(np.moveaxis(values, axis, 0).reshape(size, -1).astype(np.float64)).max(axis=1)
        alive = largest > 0
        if not alive.any() or largest.max() <= MAGNITUDE * largest[alive].min():
            continue
        small = np.where(alive, largest, largest.max())
        order = np.floor(np.log(largest.max() / small) / math.log(MAGNITUDE)).astype(np.int64)
        _, label = np.unique(order, return_inverse=True)
        return Parts(axis, label.astype(np.int64), int(label.max()) + 1)
    return WHOLE
