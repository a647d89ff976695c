"""Softmax: the recipe of the rule, on [outer, depth, inner]."""

from __future__ import annotations

import numpy as np

from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.ops.softmax import exponentials
from slimai.simulator.ops.tflite_softmax import Tflite8, Tflite16, tflite_parameters


def rows_of(writer: LayerWriter, tensor: str, axis: int) -> tuple[int, int, int]:
    """Return (outer, depth, inner) of a tensor as it lies, along a logical axis."""
    shape, at = writer.memory_shape(tensor), writer.axis(tensor, axis)
    return int(np.prod(shape[:at])), shape[at], int(np.prod(shape[at + 1 :]))


def write_softmax(writer: LayerWriter) -> None:
    """Write a softmax."""
    context = writer.context
    x, out, name = context.input(), context.out, writer.layer.inputs[0]
    low, high = context.limits
    rows = rows_of(writer, name, int(context.attrs["axis"]))
    source, target = writer.input(name), writer.output()
    types = {"x_t": params_type(x), "y_t": params_type(out)}
    recipe = None
    if context.rule.recipe == "tflite":
        recipe = tflite_parameters(x, out, rows[1], interpolated=bool(context.attrs.get("interpolated", 0)))
    if isinstance(recipe, Tflite8):
        scale = writer.struct("int32_t @[3]", [recipe.multiplier, recipe.left, recipe.radius], "scale")
        ends = writer.struct("int32_t @[4]", [out.dtype.low, out.dtype.bits, low, high], "ends")
        writer.call("softmax_tflite_8", [source, *rows, scale, ends, target], **types)
    elif isinstance(recipe, Tflite16):
        scale = writer.struct("int32_t @[2]", [recipe.multiplier, recipe.exponent], "scale")
        ends = writer.struct("int32_t @[2]", [low, high], "ends")
        knots = [writer.constant("knots", item, "int16_t") for item in (recipe.exp_knots, recipe.inverse_knots)]
        writer.call("softmax_tflite_16", [source, *rows, scale, *knots, ends, target], **types)
    else:
        powers = exponentials(x, rows[1])
        powers = powers[: int(np.flatnonzero(powers).max()) + 1]  # 0 beyond
        table = writer.constant("powers", powers, "int32_t")
        ends = writer.struct("int32_t @[3]", [out.zero_point, low, high], "ends")
        unit = int(np.rint(256.0 / out.scale))
        writer.call("softmax", [source, *rows, table, powers.size, unit, ends, target], **types)
