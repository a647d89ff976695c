"""Relu, Clip, PRelu and the explicit change of type: a scaling by one (PRelu: two) multipliers and a clamp."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ops import is_clamp
from slimai.simulator.context import Array, Compiled, Kernel, LayerContext, Tally
from slimai.simulator.fixed_point import Int
from slimai.simulator.layout import keeps_integers
from slimai.simulator.lookup import every_integer, look_up, table_layer
from slimai.simulator.ops.sloped import SlopedRows
from slimai.simulator.requantize import GEMMLOWP, Requantizer, clamp_limits
from slimai.simulator.weight_forms import weight_values


def scale_change(context: LayerContext) -> Int:
    """Return the table [2**bits] of an input's integers brought to the output's scale (not yet clamped tighter).

    Equal parameters leave the integers alone. ort_f32 dequantizes and quantizes in float32; TFLite's recipe
    uses the `gemmlowp` rounding at every width.
    """
    x, out = context.input(), context.out
    integers = every_integer(x)
    if keeps_integers(context):
        return integers
    if context.rule.recipe == "ort":
        real = (integers - x.zero_point).astype(np.float32) * np.float32(x.scale)
        quantized: Int = np.rint(real / np.float32(out.scale)).astype(np.int64) + out.zero_point
        return quantized
    return change_requantizer(context).exact(integers - x.zero_point).astype(np.int64)


def change_requantizer(context: LayerContext) -> Requantizer:
    """Return the requantizer that brings an input's integers to the output's scale, in the rule's integer recipe."""
    x, out = context.input(), context.out
    if context.rule.recipe != "tflite":
        return context.requantizer(x.scale, out=out)
    ratio = x.scale / out.scale
    if is_clamp(context.layer.node):  # TFLite divides the scales of these in float32
        ratio = float(np.float32(x.scale) / np.float32(out.scale))
    return context.under(GEMMLOWP).requantizer_of(np.array([ratio]), out)


class ScaleChange:
    """Brings integers of the input's parameters to the output's; nothing to do where they are tied."""

    def __init__(self, context: LayerContext) -> None:
        self.tied = keeps_integers(context) and context.layer.activation is None
        low, high = context.limits
        self.first = context.input().dtype.low
        self.table = np.clip(scale_change(context), low, high).astype(context.out.dtype.numpy)

    def __call__(self, y: Array) -> Array:
        """Return the integers on the output's grid."""
        return y if self.tied else look_up(y, self.first, self.table)


def compile_requantize(context: LayerContext) -> Compiled:
    """Return the kernel of a change of type or scale."""
    return table_layer(context, scale_change(context))


def _clamped(context: LayerContext) -> Compiled:
    low, high = clamp_limits(context.out, context.layer.node, context.rule.recipe)
    return table_layer(context, np.clip(scale_change(context), low, high))


def compile_relu(context: LayerContext) -> Compiled:
    """Return the kernel of a Relu of its own."""
    return _clamped(context)


def compile_clip(context: LayerContext) -> Compiled:
    """Return the kernel of a Clip of its own."""
    return _clamped(context)


def compile_prelu(context: LayerContext) -> Compiled:
    """Return the kernel of a PRelu: x * s_x / s_y, or x * slope * s_x * s_slope / s_y where x is negative."""
    x = context.input()
    slope, scale = prelu_slope(context)
    if context.rule.recipe == "ort":
        return _float_prelu(context, slope, scale)
    positive, negative = prelu_requantizers(context)

    def two_sided(values: Int, factors: Int) -> Array:
        return np.where(values >= 0, positive.exact(values), negative.exact(values * factors))

    tables = {"slope": slope, **positive.table()}
    axis = _slope_axis(slope.shape, context.graph.shape(context.layer.node.inputs[0]))
    if x.dtype.bits == 8 and (slope.size == 1 or axis is not None):
        by_slope = two_sided(every_integer(x)[None] - x.zero_point, slope.reshape(-1, 1))
        return Compiled(_by_channel(context, by_slope, axis), tables)

    fast = SlopedRows.of(context, slope, axis, positive, negative)
    if fast is not None:
        return Compiled(fast, tables)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        return [two_sided(inputs[0].astype(np.int64) - x.zero_point, slope)]

    return Compiled(kernel, tables)


def prelu_requantizers(context: LayerContext) -> tuple[Requantizer, Requantizer]:
    """Return the requantizers of a PRelu's values that are not negative, and of the products of the others."""
    x, out, (_, scale) = context.input(), context.out, prelu_slope(context)
    if context.rule.recipe != "tflite":
        return context.requantizer(x.scale), context.requantizer(x.scale, scale)
    context = context.under(GEMMLOWP)
    first = np.float32(x.scale) / np.float32(out.scale)
    second = np.float32(x.scale) * np.float32(scale) / np.float32(out.scale)
    positive, negative = (context.requantizer_of(np.array([real], np.float64)) for real in (first, second))
    return positive, negative


def _by_channel(context: LayerContext, tables: Array, axis: int | None) -> Kernel:
    """Return the kernel that looks integers up in the table of their slope, [slopes along `axis`, 2**bits]."""
    from slimai.simulator._kernels_elementwise import look_up_rows  # noqa: PLC0415 - spares numba

    low = context.input().dtype.low

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        if axis is None:
            return [look_up(inputs[0], low, tables[0])]
        rows = np.ascontiguousarray(np.moveaxis(inputs[0], axis, -1))
        out = context.pool.empty(rows.shape, tables.dtype)
        look_up_rows(rows.reshape(-1, tables.shape[0]), low, tables, out.reshape(-1, tables.shape[0]))
        return [np.moveaxis(out, -1, axis)]

    return kernel


def _slope_axis(slope: tuple[int, ...], x: tuple[int, ...]) -> int | None:
    """Return the one axis of x along which slopes differ, or None where they differ by more than one."""
    padded = (1,) * (len(x) - len(slope)) + slope
    wide = [axis for axis, size in enumerate(padded) if size > 1]
    return wide[0] if len(wide) == 1 else None


def prelu_slope(context: LayerContext) -> tuple[NDArray[np.int64], float]:
    """Return the integer slopes of a PRelu, zero point taken away, and their scale."""
    operand, weight = context.layer.operands.get(1), context.layer.weight
    if operand is not None:
        return operand[0].astype(np.int64) - operand[1].zero_point, operand[1].scale
    if weight is None or weight.scale.size > 1:
        raise ValueError(f"{context.layer.name}: PRelu needs a constant slope with one scale")
    return weight_values(weight), float(weight.scale[0])


def _float_prelu(context: LayerContext, slope: Int, scale: float) -> Compiled:
    x, out, (low, high) = context.input(), context.out, context.limits
    factor = slope.astype(np.float32) * np.float32(scale)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        real = (inputs[0].astype(np.int64) - x.zero_point).astype(np.float32) * np.float32(x.scale)
        real = np.where(real < 0, real * factor, real)
        integers = np.rint(real / np.float32(out.scale)) + np.float32(out.zero_point)
        return [np.clip(integers, low, high).astype(out.dtype.numpy)]

    return Compiled(kernel, {"slope": slope})
