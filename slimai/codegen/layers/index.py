"""ArgMax."""

from __future__ import annotations

from slimai.codegen.layers.softmax import rows_of
from slimai.codegen.layouts import channels_last, identity
from slimai.codegen.writer import LayerWriter, params_type


def write_argmax(writer: LayerWriter) -> None:
    """Write the index of the largest integer along an axis; the indices lie as the network writes them."""
    context, name = writer.context, writer.layer.inputs[0]
    axis, rank = int(context.attrs["axis"]), len(writer.shape(name))
    if axis == 1 and writer.orders[name] == channels_last(rank):
        source, rows = writer.input(name), rows_of(writer, name, axis)
    else:
        source = writer.input(name, identity(rank))
        shape = writer.shape(name)
        rows = (_count(shape[:axis]), shape[axis], _count(shape[axis + 1 :]))
    last = int(bool(context.attrs.get("select_last_index", 0)))
    target = writer.output(order=identity(len(writer.shape(writer.layer.outputs[0]))))
    writer.call("argmax", [source, *rows, last, target], x_t=params_type(context.input()))


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
