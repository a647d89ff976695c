"""Operators whose outputs are copies of inputs; where parameters differ, each piece is brought to the output's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from slimai.quantizer.params import U8, QParams
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.layout import is_channels_last, joined
from slimai.simulator.lookup import look_up
from slimai.simulator.ops.clamp import scale_change
from slimai.simulator.ops.tflite_tables import concat_table

Move = Callable[[Array], Array]


def _carry(context: LayerContext, source: str, target: str) -> Callable[[Array], Array]:
    """Return the function that brings integers of tensor `source` to the parameters of `target`."""
    return _brought(context.tensors[source].dtype.low, carry_table(context, source, target))


def carry_table(context: LayerContext, source: str, target: str) -> Array | None:
    """Return what every integer of `source`, lowest first, becomes on the grid of `target`; None where they stay."""
    x, out = context.tensors[source], context.tensors[target]
    if context.layer.activation is None and (x == out or context.attrs.get("integers_kept", 0)):
        return None
    layer = replace(context.layer, node=replace(context.layer.node, inputs=(source,)), outputs=(target,), operands={})
    local = replace(context, layer=layer)
    low, high = local.limits
    return np.clip(scale_change(local), low, high).astype(out.dtype.numpy)


def unary_move(context: LayerContext, move: Callable[[Array], Array]) -> Compiled:
    """Return the kernel of an operator of one input that moves elements: `move`, then the change of grid if any."""
    carry = _carry(context, context.layer.inputs[0], context.layer.outputs[0])

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        return [carry(move(inputs[0]))]

    return Compiled(kernel)


def compile_concat(context: LayerContext) -> Compiled:
    """Return the kernel of a concatenation; inputs of another scale are requantized first."""
    axis = int(context.attrs["axis"])
    carries = carried_inputs(context)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        parts = context.arranged(inputs)
        batch = max(part.shape[0] for part in inputs)
        moved = [
            carry(np.broadcast_to(part, (batch, *part.shape[1:])) if axis else part)
            for carry, part in zip(carries, parts, strict=True)
        ]
        return [joined(moved, axis)]

    return Compiled(kernel)


def carried_inputs(context: LayerContext) -> list[Callable[[Array], Array]]:
    """Return for each operand, in the node's order, what brings it to the grid of the output."""
    firsts = [context.input(place).dtype.low for place in range(len(context.layer.node.inputs))]
    return [_brought(first, table) for first, table in zip(firsts, carried_tables(context), strict=True)]


def _brought(first: int, table: Array | None) -> Callable[[Array], Array]:
    if table is None:
        return lambda values: values
    return lambda values: look_up(values, first, table)


def carried_tables(context: LayerContext) -> list[Array | None]:
    """Return for each operand, in the node's order, what its integers become on the output's grid; None: the same."""
    tables: list[Array | None] = []
    for position, name in enumerate(context.layer.node.inputs):
        operand = context.layer.operands.get(position)
        if operand is not None:
            context = replace(context, tensors={**context.tensors, name: operand[1]})
        tables.append(_concat_table(context, name, context.layer.outputs[0]))
    return tables


def _concat_table(context: LayerContext, source: str, target: str) -> Array | None:
    """Return what `carry_table` does; TFLite's uint8 concatenation has a float32 recipe of its own."""
    x, out = context.tensors[source], context.tensors[target]
    if context.rule.recipe != "tflite" or x == out or (x.dtype, out.dtype) != (U8, U8):
        return carry_table(context, source, target)
    return concat_table(x, out).astype(np.uint8)


def compile_split(context: LayerContext) -> Compiled:
    """Return the kernel of a split into several outputs."""
    axis, sizes = int(context.attrs["axis"]), tuple(context.attrs["split"])
    ends = np.cumsum(sizes)[:-1]
    names = [name for name in context.layer.node.outputs if name]
    carries = [_carry(context, context.layer.inputs[0], name) for name in names]

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        parts = np.split(inputs[0], ends, axis=axis)
        return [carry(part) for carry, part in zip(carries, parts, strict=True)]

    return Compiled(kernel)


def _slice(context: LayerContext) -> Move:
    """Return a slice; an end of -1 with a negative step means through element 0."""
    attrs = context.attrs
    rank = len(context.graph.shape(context.layer.inputs[0]))
    index: list[slice] = [slice(None)] * rank
    for axis, start, end, step in zip(attrs["axes"], attrs["starts"], attrs["ends"], attrs["steps"], strict=True):
        index[axis] = slice(start, None if step < 0 and end < 0 else end, step)
    return lambda x: x[tuple(index)]


def compile_pad(context: LayerContext) -> Compiled:
    """Return the kernel of a pad; the constant is quantized with the input's parameters."""
    attrs, x = context.attrs, context.input()
    rank = len(attrs["pads"]) // 2
    widths = [(int(attrs["pads"][axis]), int(attrs["pads"][axis + rank])) for axis in range(rank)]
    grow = [(max(before, 0), max(after, 0)) for before, after in widths]
    crop = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in widths)
    value = pad_value(float(attrs.get("value", 0.0)), x)
    options: dict[str, Any] = {"mode": attrs.get("mode", "constant")}
    if options["mode"] == "constant":
        options["constant_values"] = value

    return unary_move(context, lambda array: np.pad(array[crop], grow, **options))


def pad_value(real: float, x: QParams) -> int:
    """Return the integer that a Pad fills with; -inf is the lowest."""
    if np.isneginf(real):
        return x.dtype.low
    return int(x.quantize(np.array(real)))


def _reshape(context: LayerContext) -> Move:
    """Return a reshape; with a batch of N the first axis is N times the one at batch 1."""
    shape = context.graph.shape(context.layer.outputs[0])
    batch = context.graph.shape(context.layer.inputs[0])[:1]

    def move(x: Array) -> Array:
        if x.shape[:1] == batch or not shape or not batch:
            return x.reshape(shape)
        return x.reshape((shape[0] * x.shape[0] // batch[0], *shape[1:]))

    return move


def _transpose(context: LayerContext) -> Move:
    """Return a transposition."""
    perm = tuple(context.attrs["perm"])
    return lambda x: x.transpose(perm)


def _depth_to_space(context: LayerContext) -> Move:
    """Return a depth to space, modes DCR and CRD."""
    block, mode = int(context.attrs["blocksize"]), context.attrs.get("mode", "DCR")
    last = is_channels_last(context)

    def move(x: Array) -> Array:
        count, height, width, depth = x.shape if last else x.transpose(0, 2, 3, 1).shape
        pixels = x if last else x.transpose(0, 2, 3, 1)
        share = depth // (block * block)
        if mode == "DCR":
            parts = pixels.reshape(count, height, width, block, block, share)
        else:
            parts = pixels.reshape(count, height, width, share, block, block).transpose(0, 1, 2, 4, 5, 3)
        y = parts.transpose(0, 1, 3, 2, 4, 5).reshape(count, height * block, width * block, share)
        return y if last else y.transpose(0, 3, 1, 2)

    return move


def _space_to_depth(context: LayerContext) -> Move:
    """Return a space to depth: channels in the order row, column, depth (DCR) or depth, row, column."""
    block, last = int(context.attrs["blocksize"]), is_channels_last(context)
    order = (0, 1, 3, 2, 4, 5) if context.attrs.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)

    def move(x: Array) -> Array:
        pixels = x if last else x.transpose(0, 2, 3, 1)
        count, height, width, depth = pixels.shape
        parts = pixels.reshape(count, height // block, block, width // block, block, depth)
        y = parts.transpose(order).reshape(count, height // block, width // block, block * block * depth)
        return y if last else y.transpose(0, 3, 1, 2)

    return move


_MOVES: dict[str, Callable[[LayerContext], Move]] = {
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}


def mover_of(context: LayerContext) -> Move:
    """Return what a layer of one input and one output does with an array of its logical order."""
    return _MOVES[context.layer.node.op](context)


def compile_slice(context: LayerContext) -> Compiled:
    """Return the kernel of a slice."""
    return unary_move(context, mover_of(context))


def compile_reshape(context: LayerContext) -> Compiled:
    """Return the kernel of a reshape."""
    return unary_move(context, mover_of(context))


def compile_transpose(context: LayerContext) -> Compiled:
    """Return the kernel of a transposition."""
    return unary_move(context, mover_of(context))


def compile_depthtospace(context: LayerContext) -> Compiled:
    """Return the kernel of a depth to space."""
    return unary_move(context, mover_of(context))


def compile_spacetodepth(context: LayerContext) -> Compiled:
    """Return the kernel of a space to depth."""
    return unary_move(context, mover_of(context))
