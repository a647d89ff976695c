"""Max, Min and Where by a constant mask: both operands on the output's grid, one of the two integers chosen."""

from __future__ import annotations

import numpy as np

from slimai.codegen.layers.elementwise import Operand, paired_loops, read_operand
from slimai.codegen.layers.pointwise import changed, changes, local_context, write_change
from slimai.codegen.writer import LayerWriter, params_type


def write_max(writer: LayerWriter) -> None:
    """Write the larger of two operands."""
    _compared(writer, "larger")


def write_min(writer: LayerWriter) -> None:
    """Write the smaller of two operands."""
    _compared(writer, "smaller")


def _compared(writer: LayerWriter, kernel: str) -> None:
    a, b, nest = paired_loops(writer, _on_output(writer, 0), _on_output(writer, 1))
    writer.call(kernel, [a, b, f"&{nest}", writer.output()], y_t=params_type(writer.context.out))


def write_where(writer: LayerWriter) -> None:
    """Write a selection: the second operand whole, then the first where the constant mask is true."""
    output, kind = writer.layer.outputs[0], params_type(writer.context.out)
    mask = np.asarray(writer.graph.constants[writer.layer.node.inputs[0]]).astype(np.int8)
    first, second = (_on_output(writer, position) for position in (1, 2))
    target = writer.output()
    writer.copy(second.pointer, target, kind, second.places, np.arange(second.places.size))
    places = np.broadcast_to(np.arange(mask.size).reshape(mask.shape), writer.shape(output))
    where = Operand(writer.constant("mask", mask, "int8_t"), "int8_t", writer.in_memory(output, places))
    a, b, nest = paired_loops(writer, first, where)
    writer.step.in_place = ()  # the copy would overwrite the first operand
    writer.call("select", [a, b, f"&{nest}", target], y_t=kind)


def _on_output(writer: LayerWriter, position: int) -> Operand:
    """Return an operand on the output's grid."""
    context, name = writer.context, writer.layer.node.inputs[position]
    operand = writer.layer.operands.get(position)
    local = local_context(context, name, writer.layer.outputs[0], None if operand is None else operand[1])
    found, kind = read_operand(writer, position), params_type(context.out)
    if operand is not None:
        return Operand(writer.constant("operand", changed(local, operand[0]), kind), kind, found.places)
    if not changes(local) and local.input().dtype == context.out.dtype:
        return found
    count = writer.count(name)
    scratch = writer.scratch(kind, count)
    write_change(writer, local, found.pointer, scratch, count)
    return Operand(scratch, kind, found.places)
