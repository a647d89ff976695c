"""Pools over windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.codegen.layers.matrix import kernel_order, window
from slimai.codegen.layers.pointwise import changes, write_change
from slimai.codegen.writer import LayerWriter, params_type, refused
from slimai.simulator.accumulate import largest
from slimai.simulator.layout import four_pads, keeps_integers, pair
from slimai.simulator.ops.pool import window_counts
from slimai.simulator.requantize import GEMMLOWP


def _window(writer: LayerWriter) -> str:
    attrs = writer.context.attrs
    dilations = pair(attrs.get("dilations", (1,) * len(attrs["kernel_shape"])), 1)
    return window(
        writer, pair(attrs["kernel_shape"], 1), pair(attrs["strides"], 1), dilations, four_pads(attrs["pads"])
    )


def write_maxpool(writer: LayerWriter) -> None:
    """Write a max pooling."""
    context = writer.context
    x, order = context.input(), kernel_order(writer, writer.layer.inputs[0])
    source, target, shape = writer.input(writer.layer.inputs[0], order), writer.output(), _window(writer)
    count = writer.count(writer.layer.outputs[0])
    pooled = writer.scratch(params_type(x), count) if changes(context) else target
    writer.call("max_pool", [source, f"&{shape}", x.dtype.low, pooled], x_t=params_type(x))
    if pooled != target:
        write_change(writer, context, pooled, target, count)


def write_averagepool(writer: LayerWriter) -> None:
    """Write an average pooling."""
    context = writer.context
    x, out, recipe = context.input(), context.out, context.rule.recipe
    counts = np.asarray(window_counts(context))[0, :, :, 0]
    rows = counts[:, 0] // np.gcd.reduce(counts[:, 0])
    columns = counts[0] // rows[0]
    if not np.array_equal(np.outer(rows, columns), counts):
        raise refused(writer, "the pixels under its windows are no product of rows and columns")
    limit = writer.accumulator(float(int(counts.max()) * largest(x)))
    order = kernel_order(writer, writer.layer.inputs[0])
    source, target, shape = writer.input(writer.layer.inputs[0], order), writer.output(), _window(writer)
    shared: list[Any] = [
        source, f"&{shape}", x.zero_point, writer.constant("rows", rows, "int32_t"),
        writer.constant("columns", columns, "int32_t"),
    ]  # fmt: skip
    types = {"x_t": params_type(x), "y_t": params_type(out)}
    if recipe == "tflite" and keeps_integers(context) and not context.attrs.get("count_include_pad", 0):
        ends = [*context.limits, limit.bits if limit.checked else 0, int(limit.overflow == "wrap"), out.zero_point]
        name = writer.struct("int32_t @[5]", ends, "limits")
        writer.call("average_pool_rounded", [*shared, name, target], **types)
        return
    sizes = np.unique(counts)
    under = context.under(GEMMLOWP) if recipe == "tflite" else context
    requantizer = under.requantizer_of(np.array([x.scale / (out.scale * float(n)) for n in sizes]))
    table, rule = writer.tables(requantizer, limit)
    shared.append(writer.constant("sizes", sizes, "int32_t"))
    writer.call("average_pool", [*shared, table, target], rule=rule, acc_t=writer.sum_type(limit), **types)
