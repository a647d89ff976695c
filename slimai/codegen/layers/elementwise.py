"""Sums, differences, products, quotients of two tensors, and PRelu."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.constants import smallest
from slimai.codegen.loops import fold, straight
from slimai.codegen.writer import LayerWriter, params_type
from slimai.quantizer.params import QParams
from slimai.simulator.accumulate import largest
from slimai.simulator.fixed_point import quantize_multiplier
from slimai.simulator.ops.clamp import prelu_slope
from slimai.simulator.ops.elementwise import common_weights, squared_difference_bound, squared_difference_scale
from slimai.simulator.requantize import GEMMLOWP, Requantizer, build_requantizer

Int = NDArray[np.int64]


def write_add(writer: LayerWriter) -> None:
    """Write a sum."""
    _sum(writer, 1)


def write_sub(writer: LayerWriter) -> None:
    """Write a difference."""
    _sum(writer, -1)


def _sum(writer: LayerWriter, sign: int) -> None:
    if writer.context.rule.recipe == "tflite":
        _tflite_sum(writer, sign)
    else:
        _weighted_sum(writer, sign)


@dataclass(frozen=True)
class Operand:
    """A pointer, its type, and the place of its element for every output element in memory order."""

    pointer: str
    c_type: str
    places: Int


def read_operand(writer: LayerWriter, position: int) -> Operand:
    """Return an operand as it lies."""
    output = writer.layer.outputs[0]
    operand = writer.layer.operands.get(position)
    if operand is None:
        name = writer.layer.node.inputs[position]
        pointer, kind, places = writer.input(name), writer.c_type(name), writer.places(name).astype(np.int64)
    else:
        values, params = operand
        kind = params_type(params)
        pointer = writer.constant("operand", values, kind)
        places = np.arange(values.size).reshape(values.shape)
    return Operand(pointer, kind, writer.in_memory(output, np.broadcast_to(places, writer.shape(output))))


def _paired(writer: LayerWriter) -> tuple[str, str, str]:
    """Return both operands' pointers and the loops over them."""
    return paired_loops(writer, read_operand(writer, 0), read_operand(writer, 1))


def paired_loops(writer: LayerWriter, a: Operand, b: Operand) -> tuple[str, str, str]:
    """Return both pointers and the loops over them; the output may take the memory of an input with places in a row.

    Where six loops are not enough, each operand is spread into scratch memory first, and there is one loop.
    """
    row = np.arange(a.places.size)
    in_rows = [np.array_equal(item.places, row) for item in (a, b)]
    names = writer.layer.node.inputs
    writer.step.in_place = tuple(
        name for name, taken in zip(names, in_rows, strict=False) if name in writer.layer.inputs and taken
    )
    nest, pointers = fold([a.places, b.places]), [a.pointer, b.pointer]
    if nest is None:
        nest = straight(row.size, 1, 1)
        pointers = [
            item.pointer if taken else writer.spread(item.pointer, item.c_type, item.places)
            for item, taken in zip((a, b), in_rows, strict=True)
        ]
    return pointers[0], pointers[1], writer.nest(nest)


def _weighted_sum(writer: LayerWriter, sign: int) -> None:
    context = writer.context
    a, b = context.input(0), context.input(1)
    ka, kb, shift = common_weights(a, b, context.out, context.layer.name)
    limit = writer.accumulator(float(ka * largest(a) + kb * largest(b)))
    acc = writer.sum_type(limit)
    x, y, nest = _paired(writer)
    table, rule = writer.tables(context.requantizer_of(np.array([np.ldexp(1.0, -shift)])), limit)
    writer.call(
        "add", [x, y, f"&{nest}", a.zero_point, b.zero_point, ka, sign * kb, table, writer.output()], rule=rule,
        x_t=params_type(a), w_t=params_type(b), acc_t=acc, y_t=params_type(context.out),
    )  # fmt: skip


def _tflite_sum(writer: LayerWriter, sign: int) -> None:
    context = writer.context
    a, b, out = context.input(0), context.input(1), context.out
    left = 15 if out.dtype.bits > 8 or context.wide else 20
    double = 2.0 * max(a.scale, b.scale)
    limit = writer.accumulator(float(((largest(a) + largest(b)) << (left - 1)) + 4))
    real = np.array([double / ((1 << left) * out.scale)])
    requantizer = build_requantizer(GEMMLOWP, real, out, context.layer.name, context.limits)
    acc = writer.sum_type(limit)
    x, y, nest = _paired(writer)
    scales = [_scale(writer, params, double) for params in (a, b)]
    table, rule = writer.tables(requantizer, limit)
    writer.call(
        "add_tflite",
        [x, y, f"&{nest}", a.zero_point, b.zero_point, left, *scales, sign, table, writer.output()], rule=rule,
        x_t=params_type(a), w_t=params_type(b), acc_t=acc, y_t=params_type(out),
    )  # fmt: skip


def write_squareddifference(writer: LayerWriter) -> None:
    """Write TFLite's squared difference, which is the same under every preset."""
    context = writer.context
    a, b, out = context.input(0), context.input(1), context.out
    left, double = squared_difference_scale(context)
    limit = writer.accumulator(squared_difference_bound(context))
    real = np.array([double * double / ((1 << 2 * left) * out.scale)])
    requantizer = build_requantizer(GEMMLOWP, real, out, context.layer.name, context.limits)
    x, y, nest = _paired(writer)
    scales = [_scale(writer, params, double) for params in (a, b)]
    table, rule = writer.tables(requantizer, limit)
    writer.call(
        "squared_difference",
        [x, y, f"&{nest}", a.zero_point, b.zero_point, left, *scales, table, writer.output()], rule=rule,
        x_t=params_type(a), w_t=params_type(b), acc_t=writer.sum_type(limit), y_t=params_type(out),
    )  # fmt: skip


def _scale(writer: LayerWriter, params: QParams, double: float) -> str:
    multiplier, exponent = quantize_multiplier(np.array([params.scale / double]))
    return writer.struct("int32_t @[2]", [int(multiplier[0]), int(exponent[0])], "scale")


def write_mul(writer: LayerWriter) -> None:
    """Write an elementwise product."""
    context = writer.context
    a, b, out = context.input(0), context.input(1), context.out
    if context.rule.recipe == "tflite":
        real = np.float32(a.scale) * np.float32(b.scale) / np.float32(out.scale)
        requantizer = context.under(GEMMLOWP).requantizer_of(np.array([real], np.float64))
        limited = context.under(GEMMLOWP)
    else:
        requantizer, limited = context.requantizer(a.scale, b.scale), context
    writer.context = limited
    limit = writer.accumulator(float(largest(a) * largest(b)))
    acc = writer.sum_type(limit)
    x, y, nest = _paired(writer)
    table, rule = writer.tables(requantizer, limit)
    writer.call(
        "mul", [x, y, f"&{nest}", a.zero_point, b.zero_point, table, writer.output()], rule=rule,
        x_t=params_type(a), w_t=params_type(b), acc_t=acc, y_t=params_type(out),
    )  # fmt: skip


def write_div(writer: LayerWriter) -> None:
    """Write a quotient of two tensors."""
    context, tables = writer.context, writer.compiled
    a, b, out = context.input(0), context.input(1), context.out
    x, y, nest = _paired(writer)
    named = [
        writer.constant(what, tables[what], kind)
        for what, kind in (("knots", "int32_t"), ("multiplier", "int32_t"), ("shift", "uint8_t"))
    ]
    limits = writer.struct("int32_t @[3]", [out.zero_point, *context.limits], "limits")
    writer.call(
        "quotient", [x, y, f"&{nest}", a.zero_point, b.zero_point, *named, limits, writer.output()],
        x_t=params_type(a), w_t=params_type(b), y_t=params_type(out),
    )  # fmt: skip


def write_prelu(writer: LayerWriter) -> None:
    """Write a PRelu; channel 0 of its tables is for values, channel 1 for values times slopes."""
    context, name = writer.context, writer.layer.inputs[0]
    x, out = context.input(), context.out
    slope, scale = prelu_slope(context)
    positive, negative = _prelu_requantizers(writer, scale)
    both = replace(
        positive,
        multiplier=np.concatenate([positive.multiplier, negative.multiplier]),
        shift=np.concatenate([positive.shift, negative.shift]),
        pre_shift=np.concatenate([positive.pre_shift, negative.pre_shift]),
        real=np.concatenate([positive.real, negative.real]),
    )
    stored = smallest(slope)
    output = writer.layer.outputs[0]
    places = np.broadcast_to(np.arange(slope.size).reshape(slope.shape), writer.shape(output))
    source = writer.input(name)
    kind = f"{stored.dtype.name}_t"
    source, slopes, nest = paired_loops(
        writer,
        Operand(source, params_type(x), writer.in_memory(output, writer.places(name))),
        Operand(writer.constant("slope", stored, kind), kind, writer.in_memory(output, places)),
    )
    table, rule = writer.tables(both)
    writer.call(
        "prelu", [source, slopes, f"&{nest}", x.zero_point, table, writer.output()], rule=rule,
        x_t=params_type(x), w_t=kind, y_t=params_type(out),
    )  # fmt: skip


def _prelu_requantizers(writer: LayerWriter, scale: float) -> tuple[Requantizer, Requantizer]:
    context, single = writer.context, np.float32
    x, out = context.input(), context.out
    if context.rule.recipe != "tflite":
        return context.requantizer(x.scale), context.requantizer(x.scale, scale)
    first = single(x.scale) / single(out.scale)
    second = single(x.scale) * single(scale) / single(out.scale)
    under = context.under(GEMMLOWP)
    positive, negative = (under.requantizer_of(np.array([real], np.float64)) for real in (first, second))
    return positive, negative
