"""Abs, Neg and ThresholdedRelu: a change of scale of |x|, of -x, or of x above a limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimai.simulator.context import Compiled, LayerContext
from slimai.simulator.fixed_point import Int
from slimai.simulator.lookup import every_integer, table_layer
from slimai.simulator.requantize import GEMMLOWP


def compile_abs(context: LayerContext) -> Compiled:
    """Return the kernel of |x|."""
    return _rescaled(context, np.abs)


def compile_neg(context: LayerContext) -> Compiled:
    """Return the kernel of -x."""
    return _rescaled(context, np.negative)


def compile_thresholdedrelu(context: LayerContext) -> Compiled:
    """Return the kernel of x above alpha and 0 up to it: above the integer floor(alpha / s_x)."""
    limit = np.floor(context.attrs["alpha"] / context.input().scale)
    return _rescaled(context, lambda values: np.where(values > limit, values, 0))


def _rescaled(context: LayerContext, change: Callable[[Int], Int]) -> Compiled:
    """Return the layer of tail(change(x - z_x), s_x / s_y); TFLite's ABS divides the scales in float32."""
    x, out = context.input(), context.out
    values = change(every_integer(x) - x.zero_point).astype(np.int64)
    if context.rule.recipe == "ort":
        real = values.astype(np.float32) * np.float32(x.scale)
        with np.errstate(over="ignore"):  # what is beyond float32 saturates
            quantized = np.rint(real / np.float32(out.scale)) + np.float32(out.zero_point)
        return table_layer(context, np.clip(quantized, out.dtype.low, out.dtype.high).astype(np.int64))
    if context.rule.recipe == "tflite":
        context = context.under(GEMMLOWP)
        requantizer = context.requantizer_of(np.array([np.float32(x.scale) / np.float32(out.scale)], np.float64), out)
    else:
        requantizer = context.requantizer(x.scale, out=out)
    found = requantizer.exact(values).astype(np.int64)
    return table_layer(context, found, requantizer.table() if x.dtype.bits > 8 else None)
