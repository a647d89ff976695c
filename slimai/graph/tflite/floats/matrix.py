"""Convolutions and products: weights from TFLite's [O, H, W, I] to ONNX's layouts."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from slimai.graph.ir import Array
from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.floats.writer import Writer
from slimai.graph.tflite.matrix import SAME, VALID, axis_window, dilation_factors, image, transposed_pads, window

Rule = Callable[[Writer, FileOperator], None]


def _convolution(
    w: Writer, op: FileOperator, kind: str, x: str, weight: Array, attrs: dict[str, Any], bias_at: int = 2
) -> None:
    channels = weight.shape[1] * attrs["group"] if kind == "ConvTranspose" else weight.shape[0]
    inputs = [x, w.constant(w.tensor(op, 1).name, weight), *_bias(w, op, bias_at, channels)]
    w.emit(op, kind, inputs, {**attrs, "kernel_shape": weight.shape[2:]}, first=True)


def _bias(w: Writer, op: FileOperator, position: int, channels: int) -> list[str]:
    if not w.has(op, position):
        return []
    values = w.values(op, position)
    if values.size != channels:
        raise w.wrong(op, f"its bias has {values.size} values for {channels} channels")
    return [w.constant(w.tensor(op, position).name, values.reshape(-1))]


def conv_2d(w: Writer, op: FileOperator) -> None:
    """CONV_2D, grouped where the weights have fewer input channels."""
    _, height, width, channels = image(w, op)
    weight = w.values(op, 1, 4)
    outputs, rows, columns, depth = weight.shape
    if channels % depth or outputs % (channels // depth):
        raise w.wrong(op, f"weights of {depth} input channels do not fit {channels} channels", list(weight.shape))
    _, attrs = window(w, op, (height, width), (rows, columns), dilation_factors(w, op))
    more = {**attrs, "group": channels // depth}
    _convolution(w, op, "Conv", w.picture(op), weight.transpose(0, 3, 1, 2), more)


def depthwise_conv_2d(w: Writer, op: FileOperator) -> None:
    """DEPTHWISE_CONV_2D: weights [1, H, W, O]."""
    _, height, width, channels = image(w, op)
    weight = w.values(op, 1, 4)
    one, rows, columns, outputs = weight.shape
    if one != 1 or not channels or outputs % channels:
        raise w.wrong(op, f"weights do not fit {channels} channels", list(weight.shape))
    _, attrs = window(w, op, (height, width), (rows, columns), dilation_factors(w, op))
    _convolution(w, op, "Conv", w.picture(op), weight.transpose(3, 0, 1, 2), {**attrs, "group": channels})


def conv_3d(w: Writer, op: FileOperator) -> None:
    """CONV_3D: weights [D, H, W, I, O]."""
    shape, weight = w.shape(op), w.values(op, 1, 5)
    if len(shape) != 5 or shape[4] % weight.shape[3] or w.option(op, "Padding") not in {SAME, VALID}:
        raise w.wrong(op, "its input, weights and padding do not fit each other", [list(shape), list(weight.shape)])
    strides = tuple(w.option(op, f"Stride{axis}") for axis in "DHW")
    dilations = tuple(w.option(op, f"Dilation{axis}Factor") for axis in "DHW")
    if min(*strides, *dilations) < 1:
        raise w.wrong(op, "its window is not possible", {"strides": strides, "dilations": dilations})
    sides = [
        axis_window(n, k, s, d, w.option(op, "Padding"))
        for n, k, s, d in zip(shape[1:4], weight.shape[:3], strides, dilations, strict=True)
    ]
    pads = (*(side[1] for side in sides), *(side[2] for side in sides))
    attrs = {"strides": strides, "dilations": dilations, "pads": pads, "group": shape[4] // weight.shape[3]}
    _convolution(w, op, "Conv", w.picture(op), weight.transpose(4, 3, 0, 1, 2), attrs)


def transpose_conv(w: Writer, op: FileOperator) -> None:
    """TRANSPOSE_CONV: the output size is an input of the operator."""
    count, height, width, channels = image(w, op, 2)
    weight, size = w.values(op, 1, 4), w.numbers(op, 0)
    outputs, rows, columns, depth = weight.shape
    strides = (w.option(op, "StrideH"), w.option(op, "StrideW"))
    if depth != channels or len(size) != 4 or (size[0], size[3]) != (count, outputs) or min(*strides, *size) < 1:
        raise w.wrong(op, "input, weights and output size do not fit each other", list(size))
    pads, extra = transposed_pads((height, width), (rows, columns), strides, size[1:3], w.option(op, "Padding"))
    if max(*pads, *extra) > max(rows, columns, *strides) or min(extra) < 0:
        raise w.wrong(op, "its output size is not possible", list(size))
    attrs = {"strides": strides, "pads": pads, "output_padding": extra, "group": 1}
    _convolution(w, op, "ConvTranspose", w.picture(op, 2), weight.transpose(3, 0, 1, 2), attrs, 3)


def fully_connected(w: Writer, op: FileOperator) -> None:
    """FULLY_CONNECTED: a Gemm on rows; a MatMul where the axes before the last are kept."""
    if op.options.get("WeightsFormat", 0):
        raise w.wrong(op, "shuffled weights are not supported", op.options["WeightsFormat"])
    shape, sizes, out = w.shape(op), w.shape(op, 1), w.out_shape(op)
    if len(sizes) != 2 or prod(sizes) == 0 or not shape or prod(shape) % sizes[1]:
        raise w.wrong(op, f"an input of the shape {list(shape)} does not fit weights {list(sizes)}")
    outputs, depth = sizes
    rows = prod(shape) // depth
    if prod(out) != rows * outputs:
        raise w.wrong(op, f"declares the output shape {list(out)}, it computes {[rows, outputs]}")
    if not w.is_constant(op, 1) or (len(shape) > 2 and out == (*shape[:-1], outputs)):
        _product(w, op, (*shape[:-1], outputs) if shape[-1] == depth else (rows, outputs))
        return
    weight = w.constant(w.tensor(op, 1).name, w.values(op, 1))
    x = w.filed(op) if shape == (rows, depth) else w.reshape(w.any_order(op), (rows, depth), w.inner(op, "rows"))
    inputs = [x, weight, *_bias(w, op, 2, outputs)]
    if out == (rows, outputs):
        w.emit(op, "Gemm", inputs, {"transB": 1})
        return
    product = w.add("Gemm", inputs, w.inner(op, "matrix"), {"transB": 1})
    clamp = w.clamp(op)
    if clamp is not None:
        product = w.clip(product, w.inner(op, "clamped"), clamp)
    w.reshape(product, out, w.output(op))


def _product(w: Writer, op: FileOperator, made: tuple[int, ...]) -> None:
    """Append x W' + b, with computed weights too."""
    depth = w.shape(op, 1)[1]
    x = w.filed(op)
    if w.shape(op)[-1] != depth:
        x = w.reshape(x, (*made[:-1], depth), w.inner(op, "rows"))
    if w.is_constant(op, 1):
        right = w.constant(w.tensor(op, 1).name, w.values(op, 1).T)
    else:
        right = w.add("Transpose", (w.filed(op, 1),), w.inner(op, "turned"), {"perm": (1, 0)})
    bias = _bias(w, op, 2, made[-1])
    same, clamp = made == w.out_shape(op), w.clamp(op)
    if same and not bias:
        w.emit(op, "MatMul", (x, right))
        return
    value = w.add("MatMul", (x, right), w.inner(op, "product"))
    if same:
        w.emit(op, "Add", (value, *bias))
        return
    if bias:
        value = w.add("Add", (value, *bias), w.inner(op, "sum"))
    if clamp is not None:
        value = w.clip(value, w.inner(op, "clamped"), clamp)
    w.reshape(value, w.out_shape(op), w.output(op))


def batch_matmul(w: Writer, op: FileOperator) -> None:
    """BATCH_MATMUL; an operand that is read transposed is transposed first."""
    names = []
    for position, option in enumerate(("AdjX", "AdjY")):
        shape = w.shape(op, position)
        if len(shape) < 2:
            raise w.wrong(op, f"input {position} has fewer than two axes", list(shape))
        name = w.filed(op, position)
        if w.option(op, option):
            perm = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            name = w.add("Transpose", (name,), w.inner(op, "turned"), {"perm": perm})
        names.append(name)
    w.emit(op, "MatMul", names)


RULES: dict[str, Rule] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "CONV_3D": conv_3d,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "BATCH_MATMUL": batch_matmul,
}
