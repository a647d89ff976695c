"""Elements that are only moved: the places that an operator reads, folded into loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.layers.pointwise import changed, changes, local_context, write_change
from slimai.codegen.writer import LayerWriter, params_type
from slimai.quantizer.params import U8
from slimai.simulator.context import LayerContext
from slimai.simulator.ops.move import mover_of, pad_value
from slimai.simulator.ops.tflite_tables import concat_table

Array = NDArray[Any]
AXES = 4


def _moved(writer: LayerWriter, move: Callable[[Array], Array]) -> None:
    """Write the layer whose output elements are the input elements that `move` puts there."""
    source, output = writer.layer.inputs[0], writer.layer.outputs[0]
    reads = writer.in_memory(output, move(writer.places(source)))
    local = local_context(writer.context, source, output)
    write_take(writer, local, reads, output)


def write_take(writer: LayerWriter, local: LayerContext, reads: Array, output: str) -> None:
    """Write the elements of the input at these places, in a row, on the output's grid."""
    source = writer.layer.inputs[0]
    straight = reads.size == writer.count(source) and np.array_equal(reads, np.arange(reads.size))
    if straight and not changes(local) and len(writer.layer.outputs) == 1:
        writer.step.alias = source
        return
    x, y = writer.input(source), writer.output(output)
    if straight:
        writer.step.in_place = (source,) if len(writer.layer.outputs) == 1 else ()
        write_change(writer, local, x, y, reads.size)
        return
    target = writer.scratch(writer.c_type(source), reads.size) if changes(local) else y
    writer.copy(x, target, writer.c_type(source), reads, np.arange(reads.size))
    if target != y:
        write_change(writer, local, target, y, reads.size)


def write_reshape(writer: LayerWriter) -> None:
    """Write a reshape; where no element moves there is nothing to do."""
    _moved(writer, mover_of(writer.context))


write_transpose = write_slice = write_depthtospace = write_spacetodepth = write_reshape


def write_split(writer: LayerWriter) -> None:
    """Write a split into several outputs."""
    attrs, source = writer.context.attrs, writer.layer.inputs[0]
    ends = np.cumsum(tuple(attrs["split"]))[:-1]
    parts = np.split(writer.places(source), ends, axis=int(attrs["axis"]))
    names = [name for name in writer.layer.node.outputs if name]
    for name, part in zip(names, parts, strict=True):
        write_take(writer, local_context(writer.context, source, name), writer.in_memory(name, part), name)


def write_concat(writer: LayerWriter) -> None:
    """Write a concatenation; inputs of another scale are brought to the output's first."""
    context, output = writer.context, writer.layer.outputs[0]
    axis, whole, target = int(context.attrs["axis"]), writer.places(output), writer.output()
    start = 0
    reads: Array
    for position, name in enumerate(writer.layer.node.inputs):
        operand = writer.layer.operands.get(position)
        shape = writer.shape(name) if operand is None else operand[0].shape
        part = np.take(whole, np.arange(start, start + shape[axis]), axis=axis)
        start += shape[axis]
        local = local_context(context, name, output, None if operand is None else operand[1])
        if operand is None:
            pointer, reads = writer.input(name), writer.places(name)
            pointer = join_input(writer, local, pointer, reads.size)
        else:
            stored = join_constant(local, operand[0])
            pointer = writer.constant(f"part{position}", stored, params_type(context.out))
            reads = np.arange(stored.size).reshape(shape)
        writer.copy(pointer, target, params_type(context.out), np.broadcast_to(reads, part.shape), part)


def _float_recipe(local: LayerContext) -> bool:
    """Return whether TFLite joins by a float32 recipe of its own: uint8 on different grids."""
    x, out = local.input(), local.out
    return local.rule.recipe == "tflite" and x != out and (x.dtype, out.dtype) == (U8, U8)


def join_constant(local: LayerContext, values: Array) -> Array:
    """Return a constant operand's integers on the output's grid."""
    if _float_recipe(local):
        return concat_table(local.input(), local.out)[values.astype(np.int64)]
    return changed(local, values)


def join_input(writer: LayerWriter, local: LayerContext, pointer: str, count: int, target: str = "") -> str:
    """Return the pointer to an input on the output's grid, in its own memory order.

    Where the grids differ, the integers go to `target`, by default to scratch memory.
    """
    if not _float_recipe(local) and not changes(local):
        return pointer
    scratch = target or writer.scratch(params_type(local.out), count)
    if _float_recipe(local):
        table = writer.constant("join", concat_table(local.input(), local.out), "uint8_t")
        writer.call("look_up", [pointer, count, 0, table, scratch], x_t="uint8_t", y_t="uint8_t")
    else:
        write_change(writer, local, pointer, scratch, count)
    return scratch


def write_pad(writer: LayerWriter) -> None:
    """Write a pad: a fill and a copy, or lists of places for what mirrors and repeats."""
    context, attrs = writer.context, writer.context.attrs
    source, output = writer.layer.inputs[0], writer.layer.outputs[0]
    mode, rank = attrs.get("mode", "constant"), len(attrs["pads"]) // 2
    pads = [(int(attrs["pads"][axis]), int(attrs["pads"][axis + rank])) for axis in range(rank)]
    grow = [(max(before, 0), max(after, 0)) for before, after in pads]
    crop = [slice(max(-before, 0), -max(-after, 0) or None) for before, after in pads]
    if mode != "constant":
        shape = writer.shape(source)
        lists = [np.pad(np.arange(n)[cut], more, mode=mode) for n, cut, more in zip(shape, crop, grow, strict=True)]
        write_lists(writer, dict(enumerate(lists)), context)
        return
    reads = writer.in_memory(output, np.pad(writer.places(source)[tuple(crop)], grow, constant_values=-1))
    local = local_context(context, source, output)
    kind, count = writer.c_type(source), reads.size
    x, y = writer.input(source), writer.output()
    target = writer.scratch(kind, count) if changes(local) else y
    value = pad_value(float(attrs.get("value", 0.0)), context.input())
    writer.call("fill", [target, count, value], x_t=kind)
    inside = np.flatnonzero(reads >= 0)
    writer.copy(x, target, kind, reads[inside], inside)
    if target != y:
        write_change(writer, local, target, y, count)


def write_lists(writer: LayerWriter, lists: dict[int, Array], context: LayerContext) -> None:
    """Write the copy of input elements by a list of indices along each logical axis (absent: all of them)."""
    source, output = writer.layer.inputs[0], writer.layer.outputs[0]
    local = local_context(context, source, output)
    kind = writer.c_type(source)
    x, y = writer.input(source), writer.output()
    target = writer.scratch(kind, writer.count(output)) if changes(local) else y
    axes = axis_lists(writer, lists)
    while len(axes) > AXES:  # the kernel walks four: lists of neighbours become one, the shortest first
        at = int(np.argmin([len(first) * len(second) for first, second in pairwise(axes)]))
        axes[at : at + 2] = [joined(*axes[at : at + 2])]
    axes = [np.zeros(1, np.int64)] * (AXES - len(axes)) + axes
    sizes = writer.struct("int32_t @[4]", [len(item) for item in axes], "size")
    named = [writer.constant(f"places{number}", item, "int32_t") for number, item in enumerate(axes)]
    writer.call("gather", [x, sizes, *named, target], x_t=kind)
    if target != y:
        write_change(writer, local, target, y, writer.count(output))


def axis_lists(writer: LayerWriter, lists: dict[int, Array], *, merge: bool = True) -> list[Array]:
    """Return lists of places, one for each axis, outermost first; neighbouring axes that stay whole are one (`merge`).

    The input lies in the order of the output.
    """
    source = writer.layer.inputs[0]
    shape, order = writer.shape(source), writer.orders[source]
    strides = np.cumprod([1, *[shape[axis] for axis in order[:0:-1]]])[::-1]
    found: list[tuple[bool, Array]] = []
    for axis, stride in zip(order, strides, strict=True):
        whole = axis not in lists or np.array_equal(lists[axis], np.arange(shape[axis]))
        places = np.asarray(lists[axis] if axis in lists else np.arange(shape[axis])) * stride
        if merge and whole and found and found[-1][0]:
            places = joined(found.pop()[1], places)
        found.append((whole, places))
    return [places for _, places in found]


def joined(outer: Array, inner: Array) -> Array:
    """Return the places along two neighbouring axes as one list."""
    places: Array = (outer[:, None] + inner).reshape(-1)
    return places
