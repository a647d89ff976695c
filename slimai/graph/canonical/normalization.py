"""LayerNormalization and InstanceNormalization."""

from __future__ import annotations

import numpy as np

from slimai.graph.canonical.context import Context, has_input, only, positive_axis
from slimai.graph.ir import Node

_EPSILON = 1e-5  # ONNX's default


def layer_normalization(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the LayerNormalization with constant gain and bias; one with more outputs keeps its ONNX form."""
    shape = context.shape(node.inputs[0])
    axis = positive_axis(node.attrs.get("axis", -1), len(shape))
    if any(node.outputs[1:]) or not _constants(context, node):
        return None
    return (only(node, 3, axis=axis, epsilon=float(node.attrs.get("epsilon", _EPSILON))),)


def instance_normalization(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the InstanceNormalization with constant gain and bias, one each a channel."""
    if not _constants(context, node):
        return None
    return (only(node, 3, epsilon=float(node.attrs.get("epsilon", _EPSILON))),)


def _constants(context: Context, node: Node) -> bool:
    """Return whether gain and bias are constants of float32."""
    values = [context.constant(node, position) for position in (1, 2) if has_input(node, position)]
    return all(value is not None and value.dtype == np.float32 for value in values)


RULES = {"LayerNormalization": layer_normalization, "InstanceNormalization": instance_normalization}
