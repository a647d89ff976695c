"""A weighted layer as a matrix product: which inputs one output position multiplies, and where the outputs lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node
from slimai.quantizer.weight_layout import grouped, ungrouped

Positions = NDArray[np.int64]
SAMPLES_AT_LEAST = 64  # positions an image
SAMPLES_PER_INPUT = 8  # positions over all images, for each weight of a row
ROUNDED_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one node's problem.

    groups problems of `inputs` (K) weights a row and `outputs` rows each; an image has `positions` of them. Images are
    arrays with the leading axis that the node has at batch 1. The channel axis is 1 for convolutions, the last one for
    Gemm and MatMul.
    """

    node: Node
    groups: int
    inputs: int
    outputs: int
    shape: tuple[int, ...]  # of the axes that count positions: (leading, spatial...) or (leading...)
    kernel: tuple[int, ...] = ()

    @classmethod
    def of(cls, graph: Graph, node: Node) -> Rows | None:
        """Return the rows of a node with constant weights, or None where it is no such product."""
        if node.op not in ROUNDED_OPS or node.attrs.get("channels_last", 0):
            return None
        weights = graph.constants.get(node.inputs[1])
        output = graph.shape(node.outputs[0])
        if weights is None or (node.op in ("Gemm", "MatMul") and weights.ndim != 2):
            return None
        if node.op in ("Gemm", "MatMul"):
            inputs, outputs = weights.shape
            if node.op == "Gemm" and node.attrs["transB"]:
                inputs, outputs = outputs, inputs
            return cls(node, 1, inputs, outputs, output[:-1])
        parts = grouped(node, weights)
        groups, outputs = parts.shape[:2]
        return cls(node, groups, prod(parts.shape[2:]), outputs, (output[0], *output[2:]), weights.shape[2:])

    @property
    def positions(self) -> int:
        """Output positions of an image."""
        return prod(self.shape)

    def samples(self, images: int) -> int:
        """Return how many positions of an image are looked at, out of so many images."""
        wanted = max(SAMPLES_AT_LEAST, -(-SAMPLES_PER_INPUT * self.inputs // max(images, 1)))
        return min(self.positions, wanted)

    def chosen(self, images: int, image: int) -> Positions:
        """Return the positions of one image, ascending: the same in every run."""
        count = self.samples(images)
        if count == self.positions:
            return np.arange(count)
        rng = np.random.default_rng((image, *self.node.name.encode()))
        return np.sort(rng.choice(self.positions, count, replace=False))

    def weights(self, stored: Array) -> Array:
        """Return [groups, O, K] of weights, or numbers like them, in their stored shape."""
        parts: Array = stored.T if self.node.op == "MatMul" else grouped(self.node, stored)
        return parts.reshape(self.groups, self.outputs, self.inputs)

    def stored(self, values: Array, like: Array) -> Array:
        """Return [groups, O, K] in the stored shape of `like`."""
        if self.node.op == "MatMul":
            matrix: Array = values[0].T
            return matrix
        return ungrouped(self.node, like, values.reshape(self.groups, self.outputs, -1, prod(self.kernel)))

    def reads(self, x: Array, positions: Positions) -> Array:
        """Return [groups, n, K] what the node multiplies at these positions of one image; padding is 0."""
        if self.node.op in ("Gemm", "MatMul"):
            return x.reshape(-1, self.inputs)[positions][None]
        places = np.unravel_index(positions, self.shape)
        taps = [self._taps(axis, place, x.shape[axis + 2]) for axis, place in enumerate(places[1:])]
        padded = np.pad(x, ((0, 0), (0, 0), *((0, 1) for _ in taps)))  # the last index stands for padding
        image = places[0].reshape(-1, *(1,) * len(taps))
        spread = [
            tap.reshape(len(positions), *(-1 if axis == at else 1 for at in range(len(taps))))
            for axis, tap in enumerate(taps)
        ]
        found = np.moveaxis(padded, 1, -1)[(image, *spread)]  # [n, kernel..., C]
        rows: Array = np.moveaxis(found, -1, 1).reshape(len(positions), self.groups, self.inputs)
        return rows.transpose(1, 0, 2)

    def _taps(self, axis: int, place: Positions, size: int) -> Positions:
        """Return [n, k] the input index that each tap of the kernel meets along an axis; `size` where it is padding."""
        attrs: Any = self.node.attrs
        stride, dilation, pad = attrs["strides"][axis], attrs["dilations"][axis], attrs["pads"][axis]
        tap = np.arange(self.kernel[axis]) * dilation
        if self.node.op == "Conv":
            found = place[:, None] * stride - pad + tap
            hit = np.ones_like(found, dtype=bool)
        else:
            found = place[:, None] + pad - tap
            hit = found % stride == 0
            found = found // stride
        return np.where(hit & (found >= 0) & (found < size), found, size)

    def writes(self, y: Array, positions: Positions) -> Array:
        """Return [n, groups * O] the node's output at these positions of one image."""
        if self.node.op in ("Gemm", "MatMul"):
            return y.reshape(-1, self.outputs)[positions]
        return np.moveaxis(y, 1, -1).reshape(-1, self.groups * self.outputs)[positions]
