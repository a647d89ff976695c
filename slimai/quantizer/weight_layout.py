"""How weight tensors split into output channels, groups and inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Node


@dataclass(frozen=True, eq=False)
class WeightLayout:
    """How a weight tensor splits into output channels.

    axis: the channel axis in the stored shape. groups: for ConvTranspose [I, O/g, ...], whose output channel
    depends on the group of the input channel, else 1.
    """

    axis: int
    groups: int = 1

    def by_channel(self, values: Array) -> Array:
        """Return [O, rest]: one row an output channel."""
        if self.groups == 1:
            return np.moveaxis(values, self.axis, 0).reshape(values.shape[self.axis], -1)
        split = values.reshape(self.groups, values.shape[0] // self.groups, values.shape[1], -1)
        return split.transpose(0, 2, 1, 3).reshape(self.groups * values.shape[1], -1)

    def spread(self, scale: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return [O] per-channel numbers in a shape that broadcasts against the stored weights."""
        if scale.size == 1:
            return scale.reshape((1,) * len(shape))
        if self.groups == 1:
            return scale.reshape([-1 if axis == self.axis else 1 for axis in range(len(shape))])
        by_group = np.repeat(scale.reshape(self.groups, 1, shape[1]), shape[0] // self.groups, axis=1)
        return by_group.reshape(shape[0], shape[1], *(1,) * (len(shape) - 2))


def weight_layout(node: Node, shape: tuple[int, ...]) -> WeightLayout:
    """Return where the output channels of the node's weights, of this shape, lie."""
    if node.op == "Conv":
        return WeightLayout(0)
    if node.op == "ConvTranspose":
        return WeightLayout(1, int(node.attrs["group"]))
    if node.op == "Gemm":
        return WeightLayout(0 if node.attrs["transB"] else 1)
    return WeightLayout(len(shape) - 1)


def grouped(node: Node, weights: Array) -> Array:
    """Return the weights of a Conv, ConvTranspose or Gemm as [groups, outputs a group, inputs a group, kernel]."""
    if node.op == "Gemm":
        matrix = weights if node.attrs["transB"] else weights.T
        return matrix[None, :, :, None]
    groups = int(node.attrs["group"])
    split = weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
    return split if node.op == "Conv" else split.transpose(0, 2, 1, 3)


def ungrouped(node: Node, weights: Array, groups: Array) -> Array:
    """Return what `grouped` gives, possibly with other values, in the stored shape of `weights`."""
    if node.op == "Gemm":
        matrix = groups[0, :, :, 0]
        return matrix if node.attrs["transB"] else matrix.T
    if node.op == "ConvTranspose":
        groups = groups.transpose(0, 2, 1, 3)
    return groups.reshape(weights.shape)
