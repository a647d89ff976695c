"""Sums, differences, products, quotients of two tensors, and PRelu."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.constants import smallest
from slimai.codegen.loops import fold
from slimai.codegen.writer import LayerWriter, params_type, refused
from slimai.quantizer.params import QParams
from slimai.simulator.accumulate import largest
from slimai.simulator.fixed_point import quantize_multiplier
from slimai.simulator.ops.clamp import prelu_slope
from slimai.simulator.ops.elementwise import common_weights
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


def operand_places(writer: LayerWriter, position: int) -> tuple[str, Int]:
    """Return the pointer of an operand and the place of its element for every output element, in memory order."""
    output = writer.layer.outputs[0]
    operand = writer.layer.operands.get(position)
    if operand is None:
        name = writer.layer.node.inputs[position]
        pointer, places = writer.input(name), writer.places(name).astype(np.int64)
    else:
        values, params = operand
        pointer = writer.constant("operand", values, params_type(params))
        places = np.arange(values.size).reshape(values.shape)
    return pointer, writer.in_memory(output, np.broadcast_to(places, writer.shape(output)))


def _paired(writer: LayerWriter) -> tuple[str, str, str]:
    """Return both operands' pointers and the loops over them; equal places let the output take an input's memory."""
    (a, places_a), (b, places_b) = operand_places(writer, 0), operand_places(writer, 1)
    return a, b, paired_loops(writer, places_a, places_b)


def paired_loops(writer: LayerWriter, a: Int, b: Int) -> str:
    """Return the loops over two lists of places; the output may take the memory of an input with places in a row."""
    nest = fold([a, b])
    if nest is None:
        raise refused(writer, "its operands broadcast over more than six axes")
    straight = np.arange(a.size)
    names = writer.layer.node.inputs
    writer.step.in_place = tuple(
        name for name, places in zip(names, (a, b), strict=False)
        if name in writer.layer.inputs and np.array_equal(places, straight)
    )  # fmt: skip
    return writer.nest(nest)


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
    slopes = writer.constant("slope", stored, f"{stored.dtype.name}_t")
    nest = paired_loops(writer, writer.in_memory(output, writer.places(name)), writer.in_memory(output, places))
    table, rule = writer.tables(both)
    writer.call(
        "prelu", [source, slopes, f"&{nest}", x.zero_point, table, writer.output()], rule=rule,
        x_t=params_type(x), w_t=f"{stored.dtype.name}_t", y_t=params_type(out),
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
