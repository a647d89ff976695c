"""Changes of scale, clamps, and functions of one element."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.writer import LayerWriter, params_type
from slimai.graph.ops import TRAITS, is_clamp
from slimai.quantizer.params import QParams
from slimai.simulator.context import LayerContext
from slimai.simulator.layout import keeps_integers
from slimai.simulator.ops.clamp import change_requantizer, scale_change
from slimai.simulator.ops.tables import EXPONENTS, FINER_BITS
from slimai.simulator.ops.tflite_roots import TFLITE_ROOTS
from slimai.simulator.requantize import clamp_limits

Int = NDArray[np.int64]


def write_pointwise(writer: LayerWriter) -> None:
    """Write a layer that is one function of one element."""
    context, node = writer.context, writer.layer.node
    if writer.layer.kind != "Requantize" and TRAITS[node.op].family == "pointwise":
        _look_up(writer)
        return
    limits = context.limits
    if writer.layer.kind != "Requantize" and is_clamp(node):
        own = clamp_limits(context.out, node, context.rule.recipe)
        limits = (max(limits[0], own[0]), min(limits[1], own[1]))
    source, target = writer.input(writer.layer.inputs[0]), writer.output()
    writer.step.in_place = writer.layer.inputs
    write_change(writer, context, source, target, writer.count(writer.layer.inputs[0]), limits)


def _look_up(writer: LayerWriter) -> None:
    x, out = writer.context.input(), writer.context.out
    source, target = writer.input(writer.layer.inputs[0]), writer.output()
    writer.step.in_place = writer.layer.inputs
    count = writer.count(writer.layer.inputs[0])
    if "table" not in writer.compiled:  # 16 bits
        _wide(writer, source, count, target)
        return
    table = writer.constant("table", writer.compiled["table"], params_type(out))
    arguments = [source, count, x.dtype.low, table, target]
    writer.call("look_up", arguments, x_t=params_type(x), y_t=params_type(out))


def _wide(writer: LayerWriter, source: str, count: int, target: str) -> None:
    """Write a function of 16-bit integers by the tables that the simulator made: see `docs/arithmetic.md`."""
    context, tables = writer.context, writer.compiled
    out, (low, high), types = (
        context.out,
        context.limits,
        {"x_t": params_type(context.input()), "y_t": params_type(context.out)},
    )
    if set(tables) <= {"knots", "focus"}:
        knots = writer.constant("knots", tables["knots"], "int16_t")
        if context.layer.node.op in TFLITE_ROOTS and context.attrs.get("as_tflite", 0):
            writer.call("look_up_line_wrapped", [source, count, knots, low, high, target])
            return
        finer = FINER_BITS if out.dtype.bits == 8 else 0
        zero = out.zero_point if finer else 0
        if "focus" in tables:
            focus = writer.constant("focus", tables["focus"], "int32_t")
            limits = writer.struct("int32_t @[4]", [finer, zero, low, high], "limits")
            writer.call("look_up_focused", [source, count, knots, focus, limits, target], **types)
            return
        writer.call("look_up_line", [source, count, knots, finer, zero, low, high, target], **types)
        return
    mantissa = writer.constant("knots", tables["knots"], "int32_t")
    if "multiplier_offset_shift" in tables:
        numbers = writer.struct("int64_t @[3]", [_long(item) for item in tables["multiplier_offset_shift"]], "numbers")
        limits = writer.struct("int32_t @[3]", [out.zero_point, low, high], "limits")
        writer.call("logarithm", [source, count, mantissa, numbers, limits, target], **types)
        return
    exponent = EXPONENTS.get(context.layer.node.op) or float(context.attrs["exponent"])
    parity = (2 if exponent % 2 == 0 else 1) if exponent.is_integer() else 0
    named = [
        writer.constant("multiplier", tables["multiplier"], "int32_t"),
        writer.constant("shift", tables["shift"], "uint8_t"),
    ]
    numbers = writer.struct("int32_t @[5]", [parity, int(exponent < 0), out.zero_point, low, high], "numbers")
    writer.call("power", [source, count, mantissa, *named, numbers, target], **types)


def _long(value: Any) -> str:
    """Return a 64-bit integer as C writes it."""
    return f"INT64_C({int(value)})"


def write_change(
    writer: LayerWriter, local: LayerContext, source: str, target: str, count: int,
    limits: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Write the change of `count` integers from the input's grid to the output's, clamped."""
    x, out = local.input(), local.out
    low, high = limits or local.limits
    types = {"x_t": params_type(x), "y_t": params_type(out)}
    if keeps_integers(local):
        writer.call("clamp", [source, count, low, high, target], **types)
        return
    requantizer = replace(change_requantizer(local), low=low, high=high)
    table, rule = writer.tables(requantizer)
    writer.call("rescale", [source, count, x.zero_point, table, target], tail=f"{rule}_s32", **types)


def changes(local: LayerContext) -> bool:
    """Return whether integers differ between the input's grid and the output's."""
    return not keeps_integers(local) or local.layer.activation is not None


def local_context(context: LayerContext, source: str, target: str, x: QParams | None = None) -> LayerContext:
    """Return the layer as if it had one input, `source` (of these parameters), and one output, `target`."""
    node = replace(context.layer.node, inputs=(source,))
    layer = replace(context.layer, node=node, inputs=(source,), outputs=(target,), operands={})
    tensors = context.tensors if x is None else {**context.tensors, source: x}
    return replace(context, layer=layer, tensors=tensors)


def changed(local: LayerContext, values: Int) -> Int:
    """Return stored integers on the output's grid."""
    if not changes(local):
        return values
    low, high = local.limits
    table: Int = np.clip(scale_change(local), low, high)
    return table[values.astype(np.int64) - local.input().dtype.low]
