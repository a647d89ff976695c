"""Reductions over axes: means, sums, largest, smallest, root of the sum of squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slimai.codegen.layers.pointwise import changes, write_change
from slimai.codegen.loops import fold, straight
from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.accumulate import largest
from slimai.simulator.fixed_point import quantize_multiplier
from slimai.simulator.layout import is_channels_last
from slimai.simulator.ops.pool import tflite_mean_tables
from slimai.simulator.requantize import GEMMLOWP, Requantizer


def write_globalaveragepool(writer: LayerWriter) -> None:
    """Write a mean over all spatial axes."""
    rank = len(writer.shape(writer.layer.inputs[0]))
    last = is_channels_last(writer.context)
    _mean(writer, tuple(range(1, rank - 1)) if last else tuple(range(2, rank)))


def write_reducemean(writer: LayerWriter) -> None:
    """Write a mean over `axes`."""
    _mean(writer, _axes(writer))


def _mean(writer: LayerWriter, axes: tuple[int, ...]) -> None:
    context, size = writer.context, _size(writer, axes)
    if context.rule.recipe == "tflite":
        multiplier, exponent = tflite_mean_tables(context, size)
        template = context.under(GEMMLOWP).requantizer_of(np.array([1.0]))
        requantizer = replace(template, multiplier=multiplier, shift=exponent)
    else:
        requantizer = context.requantizer_of(np.array([context.input().scale / (context.out.scale * float(size))]))
    _sum(writer, axes, requantizer)


def write_reducesum(writer: LayerWriter) -> None:
    """Write a sum over `axes`."""
    _sum(writer, _axes(writer), writer.context.requantizer(writer.context.input().scale))


def _sum(writer: LayerWriter, axes: tuple[int, ...], requantizer: Requantizer) -> None:
    context = writer.context
    x = context.input()
    limit = writer.accumulator(float(_size(writer, axes) * largest(x)))
    target, loops = writer.output(), _loops(writer, axes)
    table, rule = writer.tables(requantizer, limit)
    writer.call(
        "reduce_sum", [*loops, x.zero_point, table, target], rule=rule, acc_t=writer.sum_type(limit),
        x_t=params_type(x), y_t=params_type(context.out),
    )  # fmt: skip


def write_reducemax(writer: LayerWriter) -> None:
    """Write the largest integers over `axes`."""
    _picked(writer, "reduce_max")


def write_reducemin(writer: LayerWriter) -> None:
    """Write the smallest integers over `axes`."""
    _picked(writer, "reduce_min")


def _picked(writer: LayerWriter, kernel: str) -> None:
    context, count = writer.context, writer.count(writer.layer.outputs[0])
    kind, target = params_type(context.input()), writer.output()
    found = writer.scratch(kind, count) if changes(context) else target
    writer.call(kernel, [*_loops(writer, _axes(writer)), found], x_t=kind)
    if found != target:
        write_change(writer, context, found, target, count)


def write_reducel2(writer: LayerWriter) -> None:
    """Write the square roots of sums of squares over `axes`."""
    context = writer.context
    x, out = context.input(), context.out
    multiplier, exponent = quantize_multiplier(np.array([x.scale / out.scale]))
    target, loops = writer.output(), _loops(writer, _axes(writer))
    numbers = [int(multiplier[0]), int(exponent[0]), out.zero_point, *context.limits]
    name = writer.struct("int32_t @[5]", numbers, "numbers")
    writer.call(
        "reduce_l2", [*loops, x.zero_point, name, target], x_t=params_type(x), y_t=params_type(out)
    )  # fmt: skip


def _axes(writer: LayerWriter) -> tuple[int, ...]:
    return tuple(writer.context.attrs["axes"])


def _size(writer: LayerWriter, axes: tuple[int, ...]) -> int:
    shape = writer.shape(writer.layer.inputs[0])
    return int(np.prod([shape[axis] for axis in axes]))


def _loops(writer: LayerWriter, axes: tuple[int, ...]) -> list[str]:
    """Return the input, and the nests over the places of the outputs and over those that go into one output.

    Where four loops each are not enough, the elements of each output are spread in a row of scratch memory first.
    """
    source, output = writer.layer.inputs[0], writer.layer.outputs[0]
    places, pointer = writer.places(source), writer.input(source)
    first = tuple(0 if axis in axes else slice(None) for axis in range(places.ndim))
    over = tuple(slice(None) if axis in axes else 0 for axis in range(places.ndim))
    kept = writer.in_memory(output, places[first].reshape(writer.shape(output)))
    taken = np.sort(places[over].reshape(-1))
    outer, inner = fold([kept]), fold([taken])
    if outer is None or inner is None or max(len(outer.sizes), len(inner.sizes)) > 4:
        pointer = writer.spread(pointer, writer.c_type(source), kept[:, None] + taken)
        outer, inner = straight(kept.size, taken.size), straight(taken.size, 1)
    return [pointer, f"&{writer.nest(outer)}", f"&{writer.nest(inner)}"]
