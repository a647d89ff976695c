"""Which single weight of an output channel would explain a difference: least squares over what it multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Node
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.context import centred
from slimai.simulator.divergence import Case

Array = NDArray[Any]
TAPS = 16  # places of a weight that are tried
ROWS = 1 << 13  # outputs that the estimate reads
_CONVOLUTIONS = ("Conv",)
_PRODUCTS = ("Gemm", "MatMul")


def likely_weights(
    plan: QuantPlan, layer: Layer, case: Case, channel: int, axis: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield (index within the channel's weights, signs of what it multiplies at each output), the likeliest first.

    An output moves by M * change * x, where x is what the weight multiplies: the x that fits the differences best, over
    outputs that are at no limit, is tried first. Nothing where it is not known what a weight multiplies.
    """
    patches = _patches(plan, layer, case.reads[layer.inputs[0]], channel)
    if patches is None:
        return
    ours, theirs = (
        np.take(values, channel, axis).astype(np.int64).reshape(-1) for values in (case.expected, case.found)
    )
    if len(patches) != len(ours):
        return
    ends = (min(ours.min(), theirs.min()), max(ours.max(), theirs.max()))
    free = np.flatnonzero(~np.isin(ours, ends) & ~np.isin(theirs, ends))
    free = free if len(free) > patches.shape[1] else np.arange(len(ours))
    rows = free if len(free) <= ROWS else free[:: -(-len(free) // ROWS)]
    moved, values = (theirs - ours)[rows].astype(np.float64), patches[rows].astype(np.float64)
    power, product = np.square(values).sum(axis=0), values.T @ moved
    gain = np.divide(product**2, power, out=np.zeros_like(power), where=power > 0)
    for tap in np.argsort(-gain, kind="stable")[:TAPS]:
        yield int(tap), np.sign(patches[:, tap])


def _patches(plan: QuantPlan, layer: Layer, reads: Array, channel: int) -> Array | None:
    """Return [outputs of a channel, weights of a channel]: what each weight multiplies; None for other operators."""
    values = centred(reads, plan.tensors[layer.inputs[0]])
    if layer.node.op in _CONVOLUTIONS and layer.weight is not None and values.ndim == 4:
        return _convolution_patches(layer.node, layer.weight.values.shape, values, channel)
    if layer.node.op in _PRODUCTS and not layer.node.attrs.get("transA", 0) and layer.weight is not None:
        return values.reshape(-1, values.shape[-1]) if layer.weight.values.ndim == 2 else None
    return None


def _convolution_patches(node: Node, shape: tuple[int, ...], values: Array, channel: int) -> Array:
    """Return patches in the order of weights [C / group, KH, KW] of the group that the channel belongs to."""
    if node.attrs.get("channels_last", 0):
        values = np.moveaxis(values, -1, 1)
    group = channel // (shape[0] // int(node.attrs["group"]))
    values = values[:, group * shape[1] : (group + 1) * shape[1]]
    top, left, bottom, right = (int(item) for item in node.attrs["pads"])
    values = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    strides, dilations = (tuple(map(int, node.attrs[key])) for key in ("strides", "dilations"))
    spans = [(size - 1) * step + 1 for size, step in zip(shape[2:], dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(values, spans, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, int(np.prod(shape[1:])))
