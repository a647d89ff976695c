"""Operators that move elements without computing: Reshape-like, Transpose, Concat, Split, Slice, Pad."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from slimai.errors import UnsupportedError
from slimai.graph.canonical.context import (
    Context,
    computed_input,
    has_input,
    integers,
    only,
    positive_axis,
    same_as_reshape,
)
from slimai.graph.ir import Node


def reshape(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Reshape to the static shape of the output.

    Raises:
        UnsupportedError: it would change the number of elements, as one with allowzero = 1 does for an input whose size
            0 was taken for an open batch.
    """
    source, target = context.shape(node.inputs[0]), context.shape(node.outputs[0])
    if prod(source) != prod(target):
        message = f"{node.op} from {list(source)} does not keep the number of elements"
        raise UnsupportedError.at(node.name, message, list(target), cure="give the input's whole shape")
    return same_as_reshape(context, node)


def dropout(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return a no-op; a Dropout in training mode or with a used mask keeps its ONNX form."""
    training = context.constant(node, 2)
    off = not has_input(node, 2) or (training is not None and not training.any())
    unread = [
        name
        for name in node.outputs[1:]
        if name and (context.graph.consumers.get(name) or name in context.graph.outputs)
    ]
    return same_as_reshape(context, node) if off and not unread else None


def transpose(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Transpose with its permutation."""
    rank = len(context.shape(node.inputs[0]))
    perm = integers(node.attrs.get("perm", tuple(reversed(range(rank)))))
    return same_as_reshape(context, node) if perm == tuple(range(rank)) else (only(node, 1, perm=perm),)


def concat(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Concat; one operand makes it a no-op."""
    if len(node.inputs) == 1:
        return same_as_reshape(context, node)
    axis = positive_axis(node.attrs["axis"], len(context.shape(node.outputs[0])))
    return (only(node, len(node.inputs), axis=axis),)


def split(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Split with the size of each output."""
    axis = positive_axis(node.attrs.get("axis", 0), len(context.shape(node.inputs[0])))
    sizes = tuple(context.shape(name)[axis] for name in node.outputs)
    if len(sizes) == 1:
        return same_as_reshape(context, node)
    return (Node(node.name, "Split", node.inputs[:1], node.outputs, {"axis": axis, "split": sizes}),)


def slice_(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Slice with clamped bounds; one that keeps every element in place is a no-op."""
    if any(computed_input(context, node, position) for position in (1, 2, 3, 4)):
        return None
    shape = context.shape(node.inputs[0])
    starts, ends = (integers(context.constant(node, position)) for position in (1, 2))
    axes_value, steps_value = context.constant(node, 3), context.constant(node, 4)
    axes = integers(axes_value) if axes_value is not None else tuple(range(len(starts)))
    steps = integers(steps_value) if steps_value is not None else (1,) * len(starts)
    rows = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = positive_axis(axis, len(shape))
        first, last, stride = slice(start, end, step).indices(shape[place])
        if (first, last, stride) != (0, shape[place], 1):
            rows.append((place, first, last, stride))
    if not rows:
        return same_as_reshape(context, node)
    columns = [tuple(column) for column in zip(*sorted(rows), strict=True)]
    return (only(node, 1, axes=columns[0], starts=columns[1], ends=columns[2], steps=columns[3]),)


def pad(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Pad; negative pads become a Slice before it, and no pads a no-op."""
    if any(computed_input(context, node, position) for position in (1, 2, 3)):
        return None
    shape, rank = context.shape(node.inputs[0]), len(context.shape(node.inputs[0]))
    axes_value, value = context.constant(node, 3), context.constant(node, 2)
    axes = range(rank) if axes_value is None else [positive_axis(axis, rank) for axis in integers(axes_value)]
    given = integers(context.constant(node, 1))
    pads = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        pads[axis], pads[axis + rank] = given[place], given[place + len(given) // 2]
    if not any(pads):
        return same_as_reshape(context, node)
    mode = node.attrs.get("mode", "constant")
    fill = float(value.reshape(-1)[0]) if value is not None and value.size else 0.0
    if min(pads) >= 0:
        return (only(node, 1, pads=tuple(pads), mode=mode, value=fill),)
    return _crop_and_pad(context, node, shape, pads, fill) if mode == "constant" else None


def _crop_and_pad(
    context: Context, node: Node, shape: tuple[int, ...], pads: list[int], fill: float
) -> tuple[Node, ...]:
    rank = len(shape)
    axes = tuple(axis for axis in range(rank) if min(pads[axis], pads[axis + rank]) < 0)
    starts = tuple(max(0, -pads[axis]) for axis in axes)
    ends = tuple(shape[axis] - max(0, -pads[axis + rank]) for axis in axes)
    bounds: dict[str, Any] = {"starts": starts, "ends": ends, "axes": axes, "steps": (1,) * len(axes)}
    grown = tuple(max(0, item) for item in pads)
    if not any(grown):
        return (only(node, 1, "Slice", **bounds),)
    target = np.array(context.shape(node.outputs[0])) - np.array(grown[:rank]) - np.array(grown[rank:])
    middle = context.add_tensor(f"{node.outputs[0]}_cropped", [int(size) for size in target])
    crop = Node(f"{node.name}_crop", "Slice", node.inputs[:1], (middle,), bounds)
    attrs = {"pads": grown, "mode": "constant", "value": fill}
    return (crop, Node(node.name, "Pad", (middle,), node.outputs, attrs))


RULES = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"), reshape),
    "Dropout": dropout,
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
}
