"""Pools over windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.codegen.layers.matrix import kernel_order, window
from slimai.codegen.layers.pointwise import changes, write_change
from slimai.codegen.layers.volume import over_volume, volume
from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.accumulate import largest
from slimai.simulator.layout import four_pads, keeps_integers, pair
from slimai.simulator.ops.pool import axis_counts, window_counts
from slimai.simulator.requantize import GEMMLOWP


def _window(writer: LayerWriter) -> str:
    """Return the address of the window."""
    attrs = writer.context.attrs
    if over_volume(writer):
        return volume(writer, tuple(attrs["kernel_shape"]))
    dilations = pair(attrs.get("dilations", (1,) * len(attrs["kernel_shape"])), 1)
    return "&" + window(
        writer, pair(attrs["kernel_shape"], 1), pair(attrs["strides"], 1), dilations, four_pads(attrs["pads"])
    )


def _kernel(writer: LayerWriter, name: str, ending: str = "") -> str:
    return f"{name}_volume{ending}" if over_volume(writer) else f"{name}{ending}"


def write_maxpool(writer: LayerWriter) -> None:
    """Write a max pooling."""
    context = writer.context
    x, order = context.input(), kernel_order(writer, writer.layer.inputs[0])
    source, target, shape = writer.input(writer.layer.inputs[0], order), writer.output(), _window(writer)
    count = writer.count(writer.layer.outputs[0])
    pooled = writer.scratch(params_type(x), count) if changes(context) else target
    read, write = writer.pictures(source, pooled)
    writer.call_by_picture(_kernel(writer, "max_pool"), [read, shape, x.dtype.low, write], x_t=params_type(x))
    if pooled != target:
        write_change(writer, context, pooled, target, count)


def write_averagepool(writer: LayerWriter) -> None:
    """Write an average pooling."""
    context = writer.context
    x, out, recipe = context.input(), context.out, context.rule.recipe
    counts = window_counts(context)
    limit = writer.accumulator(float(int(counts.max()) * largest(x)))
    order = kernel_order(writer, writer.layer.inputs[0])
    source, target = writer.pictures(writer.input(writer.layer.inputs[0], order), writer.output())
    shape = _window(writer)
    shared: list[Any] = [source, shape, x.zero_point, *_counts(writer)]
    types = {"x_t": params_type(x), "y_t": params_type(out)}
    if recipe == "tflite" and keeps_integers(context) and not context.attrs.get("count_include_pad", 0):
        ends = [*context.limits, limit.bits if limit.checked else 0, int(limit.overflow == "wrap"), out.zero_point]
        name = writer.struct("int32_t @[5]", ends, "limits")
        wide = {"acc_t": "int64_t"} if over_volume(writer) else {}
        writer.call_by_picture(_kernel(writer, "average_pool", "_rounded"), [*shared, name, target], **types, **wide)
        return
    sizes = np.unique(counts)
    under = context.under(GEMMLOWP) if recipe == "tflite" else context
    requantizer = under.requantizer_of(np.array([x.scale / (out.scale * float(n)) for n in sizes]))
    table, rule = writer.tables(requantizer, limit)
    shared.append(writer.constant("sizes", sizes, "int32_t"))
    acc = writer.sum_type(limit)
    writer.call_by_picture(
        _kernel(writer, "average_pool"), [*shared, table, target], rule=rule, acc_t=acc, **types
    )  # fmt: skip


def _counts(writer: LayerWriter) -> list[str]:
    """Return the constants of the places under a window along each axis: two, or a list of three."""
    counts = axis_counts(writer.context)
    if not over_volume(writer):
        return [writer.constant(what, item, "int32_t") for what, item in zip(("rows", "columns"), counts, strict=True)]
    named = [writer.constant(f"count{axis}", item, "int32_t") for axis, item in enumerate(counts)]
    return [writer.struct("int32_t *const @[3]", named, "counts", fixed=not writer.constants.as_file)]
