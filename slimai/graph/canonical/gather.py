"""Moves by constants that say which elements: Gather, Tile, Expand, ScatterND."""

from __future__ import annotations

import numpy as np

from slimai.graph.canonical.context import Context, integers, only, positive_axis, same_as_reshape
from slimai.graph.ir import Array, Node


def gather(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Gather with its constant indices as attributes, counted from 0; `shape` is that of the indices."""
    indices, shape = context.constant(node, 1), context.shape(node.inputs[0])
    if indices is None or context.constant(node, 0) is not None:
        return None
    axis = positive_axis(node.attrs.get("axis", 0), len(shape))
    picked = _counted(indices, shape[axis])
    if picked is None:
        return None
    return (only(node, 1, axis=axis, indices=integers(picked), shape=tuple(indices.shape)),)


def _counted(indices: Array, size: int | Array) -> Array | None:
    """Return indices counted from 0, or None where one leaves its axis: the runtime's own error tells it."""
    counted: Array = np.where(indices < 0, indices + size, indices)
    return None if ((counted < 0) | (counted >= size)).any() else counted


def tile(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Tile with constant repeats; one that repeats nothing is a no-op."""
    repeats = context.constant(node, 1)
    if repeats is None or 0 in repeats:
        return None
    times = integers(repeats)
    return (only(node, 1, repeats=times),) if set(times) - {1} else same_as_reshape(context, node)


def expand(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Tile that stands for an Expand, behind a Reshape where axes are added."""
    source, target = context.shape(node.inputs[0]), context.shape(node.outputs[0])
    if 0 in target:
        return (node,)
    if source == target:
        return same_as_reshape(context, node)
    grown = (1,) * (len(target) - len(source)) + source
    repeats = tuple(1 if n == size else size for n, size in zip(grown, target, strict=True))
    if set(repeats) == {1}:
        return same_as_reshape(context, node)
    if grown == source:
        return (only(node, 1, "Tile", repeats=repeats),)
    dtype = context.graph.tensors[node.inputs[0]].dtype
    middle = context.add_tensor(f"{node.outputs[0]}_grown", grown, dtype)
    before = Node(f"{node.name}_grow", "Reshape", node.inputs[:1], (middle,), {"shape": grown})
    return (before, Node(node.name, "Tile", (middle,), node.outputs, {"repeats": repeats}))


def scatter_nd(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the ScatterND whose constant indices are attributes, counted from 0; one that reduces keeps its form."""
    indices, shape = context.constant(node, 1), context.shape(node.inputs[0])
    if indices is None or node.attrs.get("reduction", "none") != "none" or context.constant(node, 0) is not None:
        return None
    picked = _counted(indices, np.array(shape[: indices.shape[-1]]))
    if picked is None or len(np.unique(picked.reshape(-1, indices.shape[-1]), axis=0)) < picked[..., 0].size:
        return None  # which of two updates of one place wins is not stated
    attrs = {"indices": integers(picked), "shape": tuple(indices.shape)}
    return (Node(node.name, "ScatterND", (node.inputs[0], node.inputs[2]), node.outputs, attrs),)


RULES = {"Gather": gather, "Tile": tile, "Expand": expand, "ScatterND": scatter_nd}
