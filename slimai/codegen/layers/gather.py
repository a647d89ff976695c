"""Moves by constant indices: Gather, Tile, ScatterND."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.layers.move import join_constant, join_input, write_lists, write_take
from slimai.codegen.layers.pointwise import changes, local_context, write_change
from slimai.codegen.layouts import identity
from slimai.codegen.loops import equal_runs, fold
from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.context import LayerContext

Array = NDArray[Any]


def write_gather(writer: LayerWriter) -> None:
    """Write a gather along one axis: loops where the indices are regular, else lists of places."""
    attrs, source, output = writer.context.attrs, writer.layer.inputs[0], writer.layer.outputs[0]
    indices, axis = np.array(attrs["indices"], np.int64).reshape(attrs["shape"]), int(attrs["axis"])
    local = local_context(writer.context, source, output)
    reads = writer.in_memory(output, np.take(writer.places(source), indices, axis=axis))
    if fold([reads, np.arange(reads.size)]) is not None:
        write_take(writer, local, reads, output)
    elif indices.ndim == 1 and writer.orders[source] == writer.orders[output]:
        write_lists(writer, {axis: indices}, writer.context)
    else:
        _slices(writer, local, indices.reshape(-1), axis)


def _slices(writer: LayerWriter, local: LayerContext, indices: Array, axis: int) -> None:
    """Write the gather of slices [inner] of x [outer][axis][inner], both sides as the network writes them."""
    source, output = writer.layer.inputs[0], writer.layer.outputs[0]
    shape, kind, count = writer.shape(source), writer.c_type(source), writer.count(output)
    inner = int(np.prod(shape[axis + 1 :]))
    outer = int(np.prod(shape[:axis]))
    x = writer.input(source, identity(len(shape)))
    y = writer.output(order=identity(len(writer.shape(output))))
    target = writer.scratch(kind, count) if changes(local) else y
    lists = [np.zeros(1, np.int64), np.arange(outer) * shape[axis] * inner, indices * inner, np.arange(inner)]
    sizes = writer.struct("int32_t @[4]", [len(item) for item in lists], "size")
    named = [writer.constant(f"places{number}", item, "int32_t") for number, item in enumerate(lists)]
    writer.call("gather", [x, sizes, *named, target], x_t=kind)
    if target != y:
        write_change(writer, local, target, y, count)


def write_tile(writer: LayerWriter) -> None:
    """Write a tiling: loops, or lists of places where there would be too many."""
    source, output = writer.layer.inputs[0], writer.layer.outputs[0]
    repeats = tuple(writer.context.attrs["repeats"])
    reads = writer.in_memory(output, np.tile(writer.places(source), repeats))
    if fold([reads, np.arange(reads.size)]) is not None:
        write_take(writer, local_context(writer.context, source, output), reads, output)
        return
    shape = writer.shape(source)
    lists = {axis: np.tile(np.arange(shape[axis]), count) for axis, count in enumerate(repeats)}
    write_lists(writer, lists, writer.context)


def write_scatternd(writer: LayerWriter) -> None:
    """Write a copy of the first operand on the output's grid, then slices of the second one over it."""
    attrs, output = writer.context.attrs, writer.layer.outputs[0]
    target = writer.output()
    _base(writer, target)
    indices = np.array(attrs["indices"], np.int64).reshape(attrs["shape"])
    written = writer.places(output)[tuple(np.moveaxis(indices, -1, 0))]
    name, operand, local = _local(writer, 1)
    if operand is None:  # as the network writes it: of slices at one place the last stays
        updates = join_input(writer, local, writer.input(name, identity(written.ndim)), written.size)
    else:
        updates = writer.constant("updates", join_constant(local, operand), writer.c_type(output))
    run, step = equal_runs(written)
    starts = writer.constant("starts", written.reshape(-1)[::run], "int32_t")
    writer.call("scatter", [updates, written.size // run, starts, run, step, target], x_t=writer.c_type(output))


def _base(writer: LayerWriter, target: str) -> None:
    """Write the first operand on the output's grid; the output may take its memory where the second is another."""
    output, kind = writer.layer.outputs[0], params_type(writer.context.out)
    name, operand, local = _local(writer, 0)
    if operand is not None:
        stored = writer.in_memory(output, join_constant(local, operand))
        writer.copy(writer.constant("base", stored, kind), target, kind, np.arange(stored.size), np.arange(stored.size))
        return
    pointer, count = writer.input(name), writer.count(name)
    reads = writer.in_memory(output, writer.places(name))
    if not np.array_equal(reads, np.arange(count)):
        pointer = join_input(writer, local, pointer, count)
        writer.copy(pointer, target, kind, reads, np.arange(count))
        return
    writer.step.in_place = (name,) if writer.layer.node.inputs.count(name) == 1 else ()
    if join_input(writer, local, pointer, count, target) != target:
        write_change(writer, local, pointer, target, count)


def _local(writer: LayerWriter, position: int) -> tuple[str, Array | None, LayerContext]:
    """Return an operand's name, its integers where it is constant, and the layer as if it had this input alone."""
    name, operand = writer.layer.node.inputs[position], writer.layer.operands.get(position)
    params = None if operand is None else operand[1]
    local = local_context(writer.context, name, writer.layer.outputs[0], params)
    return name, None if operand is None else operand[0], local
