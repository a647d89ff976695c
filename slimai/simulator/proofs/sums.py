"""The sums of a weighted layer in one form: which input element each weight of an output channel can meet.

sum(o, p) = bias[o] + sum over d and the taps k of p: (x[group(o) * D + d, place(p, k)] - z_x) * weights[o, d, k].
Different taps of one output meet different elements, so that the elements of one sum are free of each other; a tap
whose place is padding adds 0. The taps that an output has are a product of one set an axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ops import channel_axis
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import Int
from slimai.simulator.weight_forms import weight_values

Index = tuple[int, ...]
MATRIX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of space. taps: bool [S, K], the distinct sets of taps. outputs: [S], an output that has each set.

    places: [S, K], the places in the input that those outputs' taps meet.
    """

    taps: NDArray[np.bool_]
    outputs: Int
    places: Int


@dataclass(frozen=True, eq=False)
class WeightedSum:
    """weights [O, D, K...]; bias [O]; group: D channels of the input each; axis: of channels in the input."""

    weights: NDArray[Any]
    bias: Int
    group: int
    axis: int
    axes: tuple[Axis, ...]

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.group * int(self.weights.shape[1])

    def first_channel(self, output: int) -> int:
        """Return the first input channel that an output channel sums over."""
        return int(output // (self.weights.shape[0] // self.group) * self.weights.shape[1])


def is_weighted(context: LayerContext) -> bool:
    """Return whether a layer sums products with constant weights."""
    layer = context.layer
    return layer.node.op in MATRIX and (layer.weight is not None or 1 in layer.operands)


def constant_factor(context: LayerContext) -> NDArray[Any]:
    """Return the weights of a weighted layer, zero point taken away, in their own shape."""
    weight = context.layer.weight
    if weight is not None:
        return weight_values(weight) if weight.zero_point else weight.values
    values, params = context.layer.operands[1]
    return values.astype(np.int64) - params.zero_point


def weighted_sum(context: LayerContext) -> WeightedSum:
    """Return the sums of a weighted layer."""
    values, op = constant_factor(context), context.layer.node.op
    return _spatial(context, values) if op in {"Conv", "ConvTranspose"} else _matrix(context, values)


def _bias(context: LayerContext, outputs: int) -> Int:
    bias = context.layer.bias
    return np.zeros(outputs, np.int64) if bias is None else np.broadcast_to(bias.reshape(-1), (outputs,))


def _matrix(context: LayerContext, values: NDArray[Any]) -> WeightedSum:
    """Return the sums of a matrix product; a stack of matrices counts as so many more output channels."""
    if context.layer.node.op == "Gemm" and context.attrs.get("transB", 0):
        values = values.T
    columns = values[:, None] if values.ndim == 1 else values
    rows = np.moveaxis(columns, -2, -1).reshape(-1, columns.shape[-2])
    rank = len(context.graph.shape(context.layer.node.inputs[0]))
    return WeightedSum(rows, _bias(context, len(rows)), 1, rank - 1, ())


def _spatial(context: LayerContext, values: NDArray[Any]) -> WeightedSum:
    group, node, graph = int(context.attrs["group"]), context.layer.node, context.graph
    transposed = node.op == "ConvTranspose"
    if transposed:
        split = values.reshape(group, -1, *values.shape[1:])
        values = split.swapaxes(1, 2).reshape(-1, split.shape[1], *values.shape[2:])
    source, target = graph.shape(node.inputs[0]), graph.shape(context.layer.outputs[0])
    channel = channel_axis(node, len(source))
    sizes = [tuple(size for at, size in enumerate(shape) if at not in (0, channel)) for shape in (source, target)]
    space = len(sizes[0])
    strides, dilations, pads = (_numbers(context, key, space) for key in ("strides", "dilations", "pads"))
    axes = tuple(
        _axis(sizes[0][at], sizes[1][at], values.shape[2 + at], (strides[at], dilations[at], pads[at]), transposed)
        for at in range(space)
    )
    return WeightedSum(values, _bias(context, len(values)), group, channel, axes)


def _numbers(context: LayerContext, key: str, space: int) -> Index:
    """Return an attribute's numbers, of pads those at the beginning of each axis."""
    return tuple(int(number) for number in context.attrs[key])[:space]


def _axis(size: int, outputs: int, kernel: int, numbers: tuple[int, int, int], transposed: bool) -> Axis:
    """Return the taps along one axis of `size` inputs; numbers: stride, dilation, padding at the beginning."""
    stride, dilation, pad = numbers
    first, tap = np.arange(outputs)[:, None], np.arange(kernel)[None]
    if transposed:
        places = first + pad - tap * dilation
        met = places % stride == 0
        places = places // stride
    else:
        places = first * stride + tap * dilation - pad
        met = np.ones(places.shape, np.bool_)
    taps, where = np.unique(met & (places >= 0) & (places < size), axis=0, return_index=True)
    return Axis(taps, where, places[where])
