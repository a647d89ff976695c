"""Operators whose outputs are copies of inputs; where parameters differ, each piece is brought to the output's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from slimai.quantizer.params import U8, QParams
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.layout import is_channels_last
from slimai.simulator.lookup import look_up
from slimai.simulator.ops.clamp import scale_change
from slimai.simulator.ops.tflite_tables import concat_table


def _carry(context: LayerContext, source: str, target: str) -> Callable[[Array], Array]:
    """Return the function that brings integers of tensor `source` to the parameters of `target`."""
    x, out = context.tensors[source], context.tensors[target]
    if context.layer.activation is None and (x == out or context.attrs.get("integers_kept", 0)):
        return lambda values: values
    layer = replace(context.layer, node=replace(context.layer.node, inputs=(source,)), outputs=(target,), operands={})
    local = replace(context, layer=layer)
    low, high = local.limits
    table = np.clip(scale_change(local), low, high).astype(out.dtype.numpy)
    return lambda values: look_up(values, x.dtype.low, table)


def _unary(context: LayerContext, move: Callable[[Array], Array]) -> Compiled:
    carry = _carry(context, context.layer.inputs[0], context.layer.outputs[0])

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        return [carry(move(inputs[0]))]

    return Compiled(kernel)


def compile_concat(context: LayerContext) -> Compiled:
    """Return the kernel of a concatenation; inputs of another scale are requantized first."""
    axis, out = int(context.attrs["axis"]), context.layer.outputs[0]
    carries: list[Callable[[Array], Array]] = []
    for position, name in enumerate(context.layer.node.inputs):
        operand = context.layer.operands.get(position)
        if operand is not None:
            context = replace(context, tensors={**context.tensors, name: operand[1]})
        carries.append(_concat_carry(context, name, out))

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        parts = context.arranged(inputs)
        batch = max(part.shape[0] for part in inputs)
        moved = [
            carry(np.broadcast_to(part, (batch, *part.shape[1:])) if axis else part)
            for carry, part in zip(carries, parts, strict=True)
        ]
        return [np.concatenate(moved, axis=axis)]

    return Compiled(kernel)


def _concat_carry(context: LayerContext, source: str, target: str) -> Callable[[Array], Array]:
    """Return what `_carry` does; TFLite's uint8 concatenation has a float32 recipe of its own."""
    x, out = context.tensors[source], context.tensors[target]
    if context.rule.recipe != "tflite" or x == out or (x.dtype, out.dtype) != (U8, U8):
        return _carry(context, source, target)

    table = concat_table(x, out).astype(np.uint8)
    return lambda values: look_up(values, x.dtype.low, table)


def compile_split(context: LayerContext) -> Compiled:
    """Return the kernel of a split into several outputs."""
    axis, sizes = int(context.attrs["axis"]), tuple(context.attrs["split"])
    ends = np.cumsum(sizes)[:-1]
    names = [name for name in context.layer.node.outputs if name]
    carries = [_carry(context, context.layer.inputs[0], name) for name in names]

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        parts = np.split(inputs[0], ends, axis=axis)
        return [carry(part) for carry, part in zip(carries, parts, strict=True)]

    return Compiled(kernel)


def compile_slice(context: LayerContext) -> Compiled:
    """Return the kernel of a slice; an end of -1 with a negative step means through element 0."""
    attrs = context.attrs
    rank = len(context.graph.shape(context.layer.inputs[0]))
    index: list[slice] = [slice(None)] * rank
    for axis, start, end, step in zip(attrs["axes"], attrs["starts"], attrs["ends"], attrs["steps"], strict=True):
        index[axis] = slice(start, None if step < 0 and end < 0 else end, step)
    return _unary(context, lambda x: x[tuple(index)])


def compile_pad(context: LayerContext) -> Compiled:
    """Return the kernel of a pad; the constant is quantized with the input's parameters."""
    attrs, x = context.attrs, context.input()
    rank = len(attrs["pads"]) // 2
    widths = [(int(attrs["pads"][axis]), int(attrs["pads"][axis + rank])) for axis in range(rank)]
    grow = [(max(before, 0), max(after, 0)) for before, after in widths]
    crop = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in widths)
    value = _pad_value(float(attrs.get("value", 0.0)), x)
    options: dict[str, Any] = {"mode": attrs.get("mode", "constant")}
    if options["mode"] == "constant":
        options["constant_values"] = value

    return _unary(context, lambda array: np.pad(array[crop], grow, **options))


def _pad_value(real: float, x: QParams) -> int:
    if np.isneginf(real):
        return x.dtype.low
    return int(x.quantize(np.array(real)))


def compile_reshape(context: LayerContext) -> Compiled:
    """Return the kernel of a reshape; with a batch of N the first axis is N times the one at batch 1."""
    shape = context.graph.shape(context.layer.outputs[0])
    batch = context.graph.shape(context.layer.inputs[0])[:1]

    def move(x: Array) -> Array:
        if x.shape[:1] == batch or not shape or not batch:
            return x.reshape(shape)
        return x.reshape((shape[0] * x.shape[0] // batch[0], *shape[1:]))

    return _unary(context, move)


def compile_transpose(context: LayerContext) -> Compiled:
    """Return the kernel of a transposition."""
    perm = tuple(context.attrs["perm"])
    return _unary(context, lambda x: x.transpose(perm))


def compile_depthtospace(context: LayerContext) -> Compiled:
    """Return the kernel of a depth to space, modes DCR and CRD."""
    block, mode = int(context.attrs["blocksize"]), context.attrs.get("mode", "DCR")
    last = is_channels_last(context)

    def move(x: Array) -> Array:
        count, height, width, depth = x.shape if last else x.transpose(0, 2, 3, 1).shape
        pixels = x if last else x.transpose(0, 2, 3, 1)
        share = depth // (block * block)
        if mode == "DCR":
            parts = pixels.reshape(count, height, width, block, block, share)
        else:
            parts = pixels.reshape(count, height, width, share, block, block).transpose(0, 1, 2, 4, 5, 3)
        y = parts.transpose(0, 1, 3, 2, 4, 5).reshape(count, height * block, width * block, share)
        return y if last else y.transpose(0, 3, 1, 2)

    return _unary(context, move)


def compile_spacetodepth(context: LayerContext) -> Compiled:
    """Return the kernel of a space to depth: channels in the order row, column, depth (DCR) or depth, row, column."""
    block, last = int(context.attrs["blocksize"]), is_channels_last(context)
    order = (0, 1, 3, 2, 4, 5) if context.attrs.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)

    def move(x: Array) -> Array:
        pixels = x if last else x.transpose(0, 2, 3, 1)
        count, height, width, depth = pixels.shape
        parts = pixels.reshape(count, height // block, block, width // block, block, depth)
        y = parts.transpose(order).reshape(count, height // block, width // block, block * block * depth)
        return y if last else y.transpose(0, 3, 1, 2)

    return _unary(context, move)
