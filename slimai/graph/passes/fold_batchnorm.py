"""Fold a BatchNormalization into the layer before it, or make it a depthwise 1x1 Conv (rank 2: Mul and Add)."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.passes.affine import fold_affine, layer_before
from slimai.graph.passes.base import Pass, Refusal, Replacement


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match a BatchNormalization with constant statistics."""
    if node.op != "BatchNormalization" or node.domain:
        return None
    values = [graph.constant(name) for name in node.inputs[1:5]]
    if any(value is None for value in values):
        return Refusal("its statistics are computed")
    if node.attrs.get("training_mode", 0) or any(graph.consumers.get(name) for name in node.outputs[1:]):
        return Refusal("it is in training mode")
    scale, offset, mean, variance = (np.asarray(value, dtype=np.float64) for value in values)
    factor = scale / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
    shift = offset - mean * factor
    layer = layer_before(graph, node.inputs[0])
    if layer is not None:
        found = fold_affine(graph, layer, node, factor, shift, f"folded into {layer.op} '{layer.name}'")
        if isinstance(found, Replacement):
            return found
    return _alone(graph, node, factor.astype(np.float32), shift.astype(np.float32))


def _alone(graph: Graph, node: Node, factor: Array, shift: Array) -> Replacement | Refusal:
    shape = graph.shape(node.inputs[0])
    x, y, spatial = node.inputs[0], node.outputs[0], len(shape) - 2
    weight, bias = f"{y}_weight", f"{y}_bias"
    if spatial in {1, 2, 3}:
        ones, zeros = (1,) * spatial, (0,) * (2 * spatial)
        attrs = {"strides": ones, "dilations": ones, "pads": zeros, "group": factor.size}
        conv = Node(node.name, "Conv", (x, weight, bias), (y,), attrs)
        constants = {weight: factor.reshape(-1, 1, *ones), bias: shift}
        return Replacement((conv,), (), "no layer to fold it into: one factor and shift a channel", constants)
    if spatial == 0:
        middle = TensorInfo(f"{y}_scaled", shape)
        nodes = (
            Node(f"{node.name}_scale", "Mul", (x, weight), (middle.name,)),
            Node(node.name, "Add", (middle.name, bias), (y,)),
        )
        return Replacement(nodes, (), "no layer to fold it into: Mul and Add", {weight: factor, bias: shift}, (middle,))
    return Refusal(f"a tensor of {len(shape)} axes")


def _ensures(graph: Graph) -> str:
    left = [
        node.name
        for node in graph.nodes
        if node.op == "BatchNormalization"
        and len(graph.shape(node.inputs[0])) in {2, 3, 4, 5}
        and all(name in graph.constants for name in node.inputs[1:])
        and not node.attrs.get("training_mode", 0)
    ]
    return f"BatchNormalization '{left[0]}' is left" if left else ""


FOLD_BATCHNORM = Pass("fold_batchnorm", match, ensures=_ensures)
