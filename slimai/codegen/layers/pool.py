"""Pools over windows and means over axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from slimai.codegen.layers.matrix import kernel_order, window
from slimai.codegen.layers.pointwise import changes, write_change
from slimai.codegen.loops import fold
from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.accumulate import largest
from slimai.simulator.layout import four_pads, is_channels_last, keeps_integers, pair
from slimai.simulator.ops.pool import tflite_mean_tables, window_counts
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
        raise ValueError(f"{context.layer.name}: the pixels of its windows are no product of rows and columns")
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


def write_globalaveragepool(writer: LayerWriter) -> None:
    """Write a mean over all spatial axes."""
    rank = len(writer.shape(writer.layer.inputs[0]))
    last = is_channels_last(writer.context)
    _mean(writer, tuple(range(1, rank - 1)) if last else tuple(range(2, rank)))


def write_reducemean(writer: LayerWriter) -> None:
    """Write a mean over `axes`."""
    _mean(writer, tuple(writer.context.attrs["axes"]))


def _mean(writer: LayerWriter, axes: tuple[int, ...]) -> None:
    context, name, output = writer.context, writer.layer.inputs[0], writer.layer.outputs[0]
    x, out = context.input(), context.out
    places = writer.places(name)
    size = int(np.prod([places.shape[axis] for axis in axes]))
    first = tuple(0 if axis in axes else slice(None) for axis in range(places.ndim))
    over = tuple(slice(None) if axis in axes else 0 for axis in range(places.ndim))
    limit = writer.accumulator(float(size * largest(x)))
    if context.rule.recipe == "tflite":
        multiplier, exponent = tflite_mean_tables(context, size)
        template = context.under(GEMMLOWP).requantizer_of(np.array([1.0]))
        requantizer = replace(template, multiplier=multiplier, shift=exponent)
    else:
        requantizer = context.requantizer_of(np.array([x.scale / (out.scale * float(size))]))
    kept = writer.in_memory(output, places[first].reshape(writer.shape(output)))
    loops = fold([kept]), fold([np.sort(places[over].reshape(-1))])
    if any(nest is None or len(nest.sizes) > 4 for nest in loops):
        raise ValueError(f"{context.layer.name}: a mean over more than four separate axes")
    source, target = writer.input(name), writer.output()
    table, rule = writer.tables(requantizer, limit)
    names = [f"&{writer.nest(nest)}" for nest in loops if nest is not None]
    writer.call(
        "mean", [source, *names, x.zero_point, table, target], rule=rule, acc_t=writer.sum_type(limit),
        x_t=params_type(x), y_t=params_type(out),
    )  # fmt: skip
