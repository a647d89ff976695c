"""Bias correction: biases that undo the mean error which quantized weights and ranges put on each output channel.

Analytic (Nagel et al. 2019, section 4.2): the weights' error times the mean of each input channel, from calibration
statistics. Empirical (section 4.2, appendix D): the difference of the means that the float and the integer network
really have, layer by layer from the inputs on, each after the layers before it have been corrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Node
from slimai.graph.ops import has_bias_slot
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer, QWeight
from slimai.quantizer.weight_layout import weight_layout
from slimai.quantizer.weights import BIAS_ROOM_BITS

Vector = NDArray[np.float64]


def mean_error(node: Node, error: Array, means: Vector) -> Vector | None:
    """Return [O] the mean that weights off by `error` add to each output channel, or None where it is not known.

    error: quantized minus float weights, stored shape. means: [I] mean of each input channel. Padding is taken as
    if it had the mean of its channel, which overstates the correction near borders only.
    """
    if node.op in ("Gemm", "MatMul"):
        if error.ndim != 2:
            return None
        matrix = error if node.op == "Gemm" and node.attrs["transB"] else error.T
        return matrix @ means if matrix.shape[1] == means.size else None
    groups = int(node.attrs["group"])
    by_input = error.reshape(*error.shape[:2], -1).sum(axis=2)
    split = by_input.reshape(groups, error.shape[0] // groups, error.shape[1])
    if node.op == "ConvTranspose":
        strides = float(np.prod(node.attrs["strides"]))  # an output position meets kernel / strides taps of each input
        split = split.transpose(0, 2, 1) / strides
    if means.size != groups * split.shape[2]:
        return None
    product: Vector = np.einsum("goi,gi->go", split, means.reshape(groups, -1)).reshape(-1)
    return product


def weight_shift(node: Node, weights: Array, quantized: QWeight, means: Vector) -> Vector | None:
    """Return [O] the mean error of the outputs of quantized weights, or None where it is not known."""
    spread = weight_layout(node, weights.shape).spread(quantized.scale, weights.shape)
    return mean_error(node, quantized.values * spread - weights.astype(np.float64), means)


def corrected_bias(bias: Array | None, shift: Vector | None) -> Array | None:
    """Return the float bias minus the mean error of the outputs; `bias` itself where that is not known."""
    if shift is None:
        return bias
    return -shift if bias is None else bias.astype(np.float64).reshape(-1) - shift


def shifted(layer: Layer, offset: Vector, reads: QParams) -> Layer:
    """Return the layer with `offset`, [O] real values, added to its bias; an operator without a place for one stays.

    A layer that has the place but no bias gets one. reads: parameters of the layer's input. The bias stays within the
    room that the planner leaves every bias.
    """
    if layer.weight is None or not has_bias_slot(layer.node):
        return layer
    added = np.rint(offset / (reads.scale * layer.weight.scale))
    room = 2.0 ** BIAS_ROOM_BITS[reads.dtype.bits]
    bias = np.clip(added + (0 if layer.bias is None else layer.bias), -room, room)
    return replace(layer, bias=bias.astype(np.int64))


def channel_means(arrays: Iterable[Array], params: QParams, axis: int = 1) -> Vector:
    """Return [C] the mean real value of each channel (along `axis` >= 1) over integer arrays [N, ...]."""
    sums: Vector = np.zeros(1)
    images = 0
    for array in arrays:
        others = tuple(place for place in range(1, array.ndim) if place != axis)
        sums = sums + array.mean(axis=others, dtype=np.float64).sum(axis=0)
        images += array.shape[0]
    return (sums / max(images, 1) - params.zero_point) * params.scale
