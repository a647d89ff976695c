"""Changes of scale, clamps, and functions of one element."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.writer import LayerWriter, params_type
from slimai.graph.ops import TRAITS, is_clamp
from slimai.quantizer.params import QParams
from slimai.simulator.context import LayerContext
from slimai.simulator.layout import keeps_integers
from slimai.simulator.ops.clamp import change_requantizer, scale_change
from slimai.simulator.ops.knots import FINER_BITS
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
    if "table" not in writer.compiled:  # 16 bits: knots and lines between them
        knots = writer.constant("knots", writer.compiled["knots"], "int16_t")
        low, high = writer.context.limits
        finer = FINER_BITS if out.dtype.bits == 8 else 0
        zero = out.zero_point if finer else 0
        arguments = [source, writer.count(writer.layer.inputs[0]), knots, finer, zero, low, high, target]
        writer.call("look_up_line", arguments, x_t=params_type(x), y_t=params_type(out))
        return
    table = writer.constant("table", writer.compiled["table"], params_type(out))
    arguments = [source, writer.count(writer.layer.inputs[0]), x.dtype.low, table, target]
    writer.call("look_up", arguments, x_t=params_type(x), y_t=params_type(out))


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
