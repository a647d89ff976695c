"""Convolutions, dense layers and products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.constants import smallest
from slimai.codegen.layers.volume import over_volume, stored_weights, volume
from slimai.codegen.layouts import channels_last, identity
from slimai.codegen.loops import fold, straight
from slimai.codegen.writer import LayerWriter, params_type
from slimai.quantizer.packing import packed
from slimai.quantizer.params import S4, QParams
from slimai.simulator.accumulate import largest
from slimai.simulator.layout import four_pads, is_channels_last, pair
from slimai.simulator.ops.conv import layer_weight, matrix_requantizer
from slimai.simulator.weight_forms import image_weights, weight_values

Int = NDArray[np.int64]


def picture(writer: LayerWriter, tensor: str) -> tuple[int, int, int]:
    """Return (height, width, channels) of a tensor of 3 or 4 axes; a line has height 1."""
    shape = writer.shape(tensor)
    shape = shape if is_channels_last(writer.context) else tuple(shape[axis] for axis in channels_last(len(shape)))
    return (1, shape[1], shape[2]) if len(shape) == 3 else (shape[1], shape[2], shape[3])


def kernel_order(writer: LayerWriter, tensor: str) -> tuple[int, ...]:
    """Return the order of axes that kernels over pictures read."""
    rank = len(writer.shape(tensor))
    return identity(rank) if is_channels_last(writer.context) else channels_last(rank)


def window(
    writer: LayerWriter, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int],
    pads: tuple[int, int, int, int], group: int = 1,
) -> str:  # fmt: skip
    """Return the name of the window of a layer over pictures."""
    x, y = picture(writer, writer.layer.inputs[0]), picture(writer, writer.layer.outputs[0])
    return writer.struct("window", [*x, *y, *kernel, *strides, *dilations, *pads[:2], group], "window")


def _stride(writer: LayerWriter, *, dilations: bool = False) -> tuple[int, int]:
    return pair(writer.context.attrs["dilations" if dilations else "strides"], 1)


def _over_volume(writer: LayerWriter, *, transposed: bool) -> None:
    values, group = weight_values(layer_weight(writer.context)), int(writer.context.attrs["group"])
    stored = stored_weights(values, group, transposed=transposed)
    shape = [volume(writer, stored.shape[1:4], group), int(transposed)]
    _products(
        writer, "conv_volume", stored, stored.reshape(stored.shape[0], -1), shape,
        order=kernel_order(writer, writer.layer.inputs[0]), windows=True, folded=False,
    )  # fmt: skip


def write_conv(writer: LayerWriter) -> None:
    """Write a convolution; with one input channel a group it is depthwise."""
    if over_volume(writer):
        _over_volume(writer, transposed=False)
        return
    context, attrs = writer.context, writer.context.attrs
    group, weight = int(attrs["group"]), image_weights(layer_weight(context))
    outputs, depth = weight.shape[:2]
    depthwise = group > 1 and depth == 1
    stored = weight[:, 0].transpose(1, 2, 0) if depthwise else weight.transpose(0, 2, 3, 1)
    size = (int(weight.shape[2]), int(weight.shape[3]))
    shape = window(writer, size, _stride(writer), _stride(writer, dilations=True), four_pads(attrs["pads"]), group)
    _products(
        writer, "depthwise" if depthwise else "conv", stored, weight.reshape(outputs, -1), [f"&{shape}"],
        order=kernel_order(writer, writer.layer.inputs[0]), windows=True,
    )  # fmt: skip


def write_convtranspose(writer: LayerWriter) -> None:
    """Write a transposed convolution."""
    if over_volume(writer):
        _over_volume(writer, transposed=True)
        return
    context, attrs = writer.context, writer.context.attrs
    group, weight = int(attrs["group"]), image_weights(layer_weight(context))
    split = weight.reshape(group, -1, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)  # [g, O / g, KH, KW, C / g]
    stored = split.reshape(-1, *split.shape[2:])
    size = (int(weight.shape[2]), int(weight.shape[3]))
    shape = window(writer, size, _stride(writer), _stride(writer, dilations=True), four_pads(attrs["pads"]), group)
    _products(
        writer, "conv_transpose", stored, stored.reshape(stored.shape[0], -1), [f"&{shape}"],
        order=kernel_order(writer, writer.layer.inputs[0]), windows=True, folded=False,
    )  # fmt: skip


def write_gemm(writer: LayerWriter) -> None:
    """Write a product with a constant matrix."""
    values = weight_values(layer_weight(writer.context))
    _dense(writer, values if writer.context.attrs.get("transB", 0) else values.T)


def write_matmul(writer: LayerWriter) -> None:
    """Write a product with a constant matrix, or of stacked matrices."""
    weight = writer.layer.weight
    if weight is not None and weight.values.ndim == 2:
        _dense(writer, weight_values(weight).T)
    else:
        _stacked(writer)


def _dense(writer: LayerWriter, rows: Int) -> None:
    """Write the product with weights [columns, depth]."""
    columns, depth = rows.shape
    count = writer.count(writer.layer.inputs[0]) // depth
    order = identity(len(writer.shape(writer.layer.inputs[0])))
    _products(writer, "dense", rows, rows, [count, depth, columns], order=order, windows=False)


def _products(
    writer: LayerWriter, kernel: str, stored: Int, rows: Int, shape: list[Any], *, order: tuple[int, ...],
    windows: bool, folded: bool = True,
) -> None:  # fmt: skip
    """Call a kernel of sums of products. rows: [O, K] weights; windows: over pictures; folded: z goes into the bias."""
    context, x = writer.context, writer.context.input()
    bias = np.zeros(rows.shape[0], np.int64) if context.layer.bias is None else context.layer.bias.reshape(-1)
    magnitudes = np.abs(rows).sum(axis=1)
    limit = writer.accumulator(float((magnitudes * largest(x) + np.abs(bias)).max(initial=0)))
    start = bias - x.zero_point * rows.sum(axis=1) if folded else bias
    partial = float((magnitudes * max(x.dtype.high, -x.dtype.low, largest(x)) + np.abs(start)).max(initial=0))
    acc = writer.sum_type(limit, partial)
    four = layer_weight(context).dtype == S4 and stored.min(initial=0) >= S4.low and stored.max(initial=0) <= S4.high
    weights = packed(stored) if four else smallest(stored)
    read_as = "int4_t" if four else f"{weights.dtype.name}_t"
    requantizer = matrix_requantizer(context, layer_weight(context).scale)
    bias_type = "int32_t" if np.abs(start).max(initial=0) < 1 << 31 else "int64_t"
    source, target = writer.input(context.layer.inputs[0], order), writer.output(order=order)
    if windows:
        source, target = writer.pictures(source, target)
    named = writer.constant("weight", weights, f"{weights.dtype.name}_t")
    biased = writer.constant("bias", start, bias_type)
    table, rule = writer.tables(requantizer, limit)
    call = writer.call_by_picture if windows else writer.call
    call(
        kernel, [source, named, biased, *shape, *([x.zero_point] if windows else []), table, target], rule=rule,
        x_t=params_type(x), w_t=read_as, b_t=bias_type, acc_t=acc, y_t=params_type(context.out),
    )  # fmt: skip


def _second(writer: LayerWriter) -> tuple[Int | None, float, int, int, str]:
    """Return (constant or None, scale, zero point, largest magnitude, C type) of the second operand."""
    context, weight = writer.context, writer.layer.weight
    if weight is not None:
        values = weight_values(weight)
        kind = f"{smallest(values).dtype.name}_t"
        return values, float(weight.scale[0]), 0, int(np.abs(values).max(initial=0)), kind
    b: QParams = context.input(1)
    operand = context.layer.operands.get(1)
    constant = None if operand is None else operand[0].astype(np.int64)
    return constant, b.scale, b.zero_point, largest(b), params_type(b)


def _stacked(writer: LayerWriter) -> None:
    context, node = writer.context, writer.layer.node
    a = context.input()
    constant, scale, zero, reach, kind = _second(writer)
    first, second = writer.shape(node.inputs[0]), writer.shape(node.inputs[1]) if constant is None else constant.shape
    left = (1, *first) if len(first) == 1 else first
    right = (*second, 1) if len(second) == 1 else second
    limit = writer.accumulator(float(left[-1] * largest(a) * reach))
    acc = writer.sum_type(limit)
    x = writer.input(node.inputs[0], identity(len(first)))
    if constant is None:
        y = writer.input(node.inputs[1], identity(len(second)))
    else:
        y = writer.constant("weight", constant, kind)
    table, rule = writer.tables(context.requantizer(a.scale, scale), limit)
    stacks = _stacks(left, right)
    nest = fold(stacks)
    if nest is None or len(nest.sizes) > 4:  # the kernel walks four: spread the operands, then it is one
        lengths = (left[-2] * left[-1], right[-2] * right[-1])
        x, y = (
            writer.spread(pointer, c_type, at.reshape(-1, 1) + np.arange(length))
            for pointer, c_type, at, length in zip((x, y), (params_type(a), kind), stacks, lengths, strict=True)
        )
        nest = straight(stacks[0].size, *lengths)
    loops = writer.nest(nest)
    sizes = [left[-2], left[-1], right[-1]]
    target = writer.output(order=identity(len(writer.shape(context.layer.outputs[0]))))
    writer.call(
        "matmul", [x, y, *sizes, f"&{loops}", a.zero_point, zero, table, target], rule=rule,
        x_t=params_type(a), w_t=kind, acc_t=acc, y_t=params_type(context.out),
    )  # fmt: skip


def _stacks(left: tuple[int, ...], right: tuple[int, ...]) -> list[Int]:
    """Return the place of each product's matrix in both operands, broadcast as NumPy does."""

    def places(shape: tuple[int, ...]) -> Int:
        count = int(np.prod(shape[:-2]))
        return (np.arange(count) * shape[-2] * shape[-1]).reshape(shape[:-2])

    return list(np.broadcast_arrays(places(left), places(right)))
