"""Max, Min and Where by a constant mask: both operands on the output's grid, one of the two integers chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.layers.elementwise import operand_places, paired_loops
from slimai.codegen.layers.pointwise import changed, changes, local_context, write_change
from slimai.codegen.writer import LayerWriter, params_type

Int = NDArray[np.int64]


def write_max(writer: LayerWriter) -> None:
    """Write the larger of two operands."""
    _compared(writer, "larger")


def write_min(writer: LayerWriter) -> None:
    """Write the smaller of two operands."""
    _compared(writer, "smaller")


def _compared(writer: LayerWriter, kernel: str) -> None:
    (a, places_a), (b, places_b) = (_on_output(writer, position) for position in (0, 1))
    nest = paired_loops(writer, places_a, places_b)
    writer.call(kernel, [a, b, f"&{nest}", writer.output()], y_t=params_type(writer.context.out))


def write_where(writer: LayerWriter) -> None:
    """Write a selection: the second operand whole, then the first where the constant mask is true."""
    output, kind = writer.layer.outputs[0], params_type(writer.context.out)
    mask = np.asarray(writer.graph.constants[writer.layer.node.inputs[0]]).astype(np.int8)
    (a, places_a), (b, places_b) = (_on_output(writer, position) for position in (1, 2))
    target = writer.output()
    writer.copy(b, target, kind, places_b, np.arange(places_b.size))
    places = np.broadcast_to(np.arange(mask.size).reshape(mask.shape), writer.shape(output))
    nest = paired_loops(writer, places_a, writer.in_memory(output, places))
    writer.step.in_place = ()  # the copy would overwrite the first operand
    writer.call("select", [a, writer.constant("mask", mask, "int8_t"), f"&{nest}", target], y_t=kind)


def _on_output(writer: LayerWriter, position: int) -> tuple[str, Int]:
    """Return the pointer to an operand on the output's grid, and its places for the output's elements."""
    context, name = writer.context, writer.layer.node.inputs[position]
    operand = writer.layer.operands.get(position)
    local = local_context(context, name, writer.layer.outputs[0], None if operand is None else operand[1])
    pointer, places = operand_places(writer, position)
    if operand is not None:
        return writer.constant("operand", changed(local, operand[0]), params_type(context.out)), places
    if not changes(local) and local.input().dtype == context.out.dtype:
        return pointer, places
    count = writer.count(name)
    scratch = writer.scratch(params_type(context.out), count)
    write_change(writer, local, pointer, scratch, count)
    return scratch, places
