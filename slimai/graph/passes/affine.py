"""Folding y = x * factor + shift, one pair a channel, into the layer that computes x."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.ops import traits_of
from slimai.graph.passes.base import Refusal, Replacement, removable


def layer_before(graph: Graph, name: str) -> Node | None:
    """Return the Conv, ConvTranspose or Gemm that computes `name`."""
    node = graph.producers.get(name)
    traits = None if node is None else traits_of(node)
    return node if traits is not None and traits.has_bias else None


def fold_affine(
    graph: Graph, layer: Node, node: Node, factor: Array, shift: Array, reason: str
) -> Replacement | Refusal:
    """Return the layer with scaled weights and bias in the place of `node`.

    Args:
        graph: the graph.
        layer: the layer before `node`.
        node: the operator that multiplies and adds.
        factor: [C] float64, one a channel of the layer's output.
        shift: [C] float64.
        reason: sentence for the list of changes.
    """
    weight, bias = graph.constant(layer.inputs[1]), _bias(graph, layer, factor.size)
    if weight is None or bias is None:
        return Refusal(f"the weights or the bias of '{layer.name}' are computed")
    problem = removable(graph, [layer], node)
    if problem:
        return Refusal(problem)
    if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
        return Refusal("a factor is not finite")
    base = node.outputs[0]
    names = (f"{base}_weight", f"{base}_bias")
    scaled = (weight * _along_outputs(layer, weight, factor)).astype(weight.dtype)
    constants = {names[0]: scaled, names[1]: (bias * factor + shift).astype(weight.dtype)}
    merged = Node(layer.name, layer.op, (layer.inputs[0], *names), node.outputs, layer.attrs)
    return Replacement((merged,), (layer.name,), reason, constants)


def _bias(graph: Graph, layer: Node, channels: int) -> Array | None:
    if len(layer.inputs) < 3:
        return np.zeros(channels)
    bias = graph.constant(layer.inputs[2])
    return bias.astype(np.float64) if bias is not None and bias.shape == (channels,) else None


def _along_outputs(layer: Node, weight: Array, factor: Array) -> Array:
    """Return `factor` shaped to multiply the weights of each output channel."""
    if layer.op == "Gemm":
        return factor[:, None] if layer.attrs["transB"] else factor[None, :]
    ones = (1,) * (weight.ndim - 2)
    if layer.op == "Conv":
        return factor.reshape(-1, 1, *ones)
    groups = int(layer.attrs["group"])  # ConvTranspose weights are [C_in, C_out / group, ...]
    rows = np.repeat(factor.reshape(groups, -1), weight.shape[0] // groups, axis=0)
    return rows.reshape(*rows.shape, *ones)
