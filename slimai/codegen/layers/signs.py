"""Abs, Neg and ThresholdedRelu: a change of scale of |x|, of -x, or of x above a threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.requantize import GEMMLOWP

_BEYOND = 1 << 30  # of every integer


def write_abs(writer: LayerWriter) -> None:
    """Write |x|."""
    _rescaled(writer, "rescale_size")


def write_neg(writer: LayerWriter) -> None:
    """Write -x."""
    _rescaled(writer, "rescale_negated")


def write_thresholdedrelu(writer: LayerWriter) -> None:
    """Write x above alpha, else 0."""
    threshold = np.floor(writer.context.attrs["alpha"] / writer.context.input().scale)
    _rescaled(writer, "rescale_above", int(np.clip(threshold, -_BEYOND, _BEYOND)))


def _rescaled(writer: LayerWriter, kernel: str, *numbers: int) -> None:
    context, name = writer.context, writer.layer.inputs[0]
    x, out, (low, high) = context.input(), context.out, context.limits
    if context.rule.recipe == "tflite":  # divides in float32
        ratio = float(np.float32(x.scale) / np.float32(out.scale))
        requantizer = context.under(GEMMLOWP).requantizer_of(np.array([ratio]), out)
    else:
        requantizer = context.requantizer(x.scale, out=out)
    source, target = writer.input(name), writer.output()
    writer.step.in_place = writer.layer.inputs
    table, rule = writer.tables(replace(requantizer, low=low, high=high))
    arguments = [source, writer.count(name), x.zero_point, *numbers, table, target]
    writer.call(kernel, arguments, tail=f"{rule}_s32", x_t=params_type(x), y_t=params_type(out))
