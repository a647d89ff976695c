"""Bias correction: biases that undo the mean error which quantized weights and ranges put on each output channel.

Analytic (Nagel et al. 2019, section 4.2): the weights' error times the mean of each input channel, from calibration
statistics. Empirical: the difference of the means that the float and the integer network really have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Node

Vector = NDArray[np.float64]
Measure = Callable[[Mapping[str, Vector], Sequence[str]], Mapping[str, Vector]]


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


def corrected_bias(
    node: Node, weights: Array, quantized: Array, bias: Array | None, means: Vector | None
) -> Array | None:
    """Return the float bias minus the mean error of the quantized weights; `bias` itself where that is not known."""
    if means is None:
        return bias
    shift = mean_error(node, quantized - weights.astype(np.float64), means)
    if shift is None:
        return bias
    return -shift if bias is None else bias.astype(np.float64).reshape(-1) - shift


def empirical_offsets(
    layers: Sequence[tuple[str, str]],
    float_means: Mapping[str, Vector],
    measure: Measure,
    *,
    slices: int | None = None,
    start: Mapping[str, Vector] | None = None,
) -> dict[str, Vector]:
    """Return node name -> [O] to add to the float bias, so that channel means follow the float network's.

    layers: (node name, tensor whose channel means tell the node's error) in graph order. measure(offsets, tensors)
    runs the integer network with those offsets over the calibration images and returns the mean of each channel of
    `tensors`. The network is corrected from its inputs on, in `slices` parts (default: a layer a part): a later part
    sees the earlier ones corrected, at the price of one run over the images a part. Parts of several layers count the
    error of one again in the next: on mobilenet_v1 eight parts were worse than none. start: offsets to begin with.
    """
    offsets = {} if start is None else dict(start)
    parts = np.array_split(np.arange(len(layers)), min(slices or len(layers), len(layers)) or 1)
    for part in parts:
        chosen = [layers[i] for i in part]
        found = measure(offsets, [tensor for _, tensor in chosen])
        for node, tensor in chosen:
            error = float_means[tensor] - found[tensor]
            offsets[node] = offsets.get(node, np.zeros_like(error)) + error
    return offsets
