"""Convolutions and fully connected layers: weights from TFLite's [O, H, W, I] to the canonical layouts."""

from __future__ import annotations

from math import prod

from slimai.graph.tflite.access import FileAccess
from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.file import FileOperator

SAME, VALID = 0, 1


def axis_window(size: int, kernel: int, stride: int, dilation: int, padding: int) -> tuple[int, int, int]:
    """Return (output size, pad before, pad after) along one axis by TFLite's rule; SAME puts the odd pixel after."""
    span = (kernel - 1) * dilation + 1
    if padding == VALID:
        return (size - span) // stride + 1, 0, 0
    out = -(-size // stride)
    total = max((out - 1) * stride + span - size, 0)
    return out, total // 2, total - total // 2


def window(
    b: FileAccess, op: FileOperator, size: tuple[int, int], kernel: tuple[int, int], dilations: tuple[int, int] = (1, 1)
) -> tuple[tuple[int, int], dict[str, tuple[int, ...]]]:
    """Return the (height, width) of the output and the attributes strides, dilations and pads."""
    strides = (b.option(op, "StrideH"), b.option(op, "StrideW"))
    padding = b.option(op, "Padding")
    if padding not in {SAME, VALID} or min(*strides, *dilations, *kernel, *size) < 1:
        raise b.wrong(op, "its window is not possible", {"kernel": kernel, "strides": strides, "dilations": dilations})
    rows, columns = (
        axis_window(n, k, s, d, padding) for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)
    )
    if min(rows[0], columns[0]) < 1:
        raise b.wrong(op, "its window is larger than its input", list(kernel))
    attrs = {"strides": strides, "dilations": dilations, "pads": (rows[1], columns[1], rows[2], columns[2])}
    return (rows[0], columns[0]), attrs


def image(b: FileAccess, op: FileOperator, position: int = 0) -> tuple[int, int, int, int]:
    """Return the shape [N, H, W, C] of an input, which must have four axes."""
    shape = b.shape(op, position)
    if len(shape) != 4:
        raise b.wrong(op, f"input {position} has {len(shape)} axes in place of 4", list(shape))
    return shape[0], shape[1], shape[2], shape[3]


def _weights(b: FileAccess, op: FileOperator, position: int, rank: int) -> tuple[int, ...]:
    item = b.tensor(op, position)
    if item.dtype not in {"int8", "uint8"} or len(item.shape) != rank or prod(item.shape) == 0:
        raise b.wrong(op, f"its weights are not 8-bit with {rank} axes", [*item.shape, item.dtype])
    return item.shape


def dilation_factors(b: FileAccess, op: FileOperator) -> tuple[int, int]:
    """Return the dilations (height, width) of a convolution."""
    return b.option(op, "DilationHFactor"), b.option(op, "DilationWFactor")


def conv_2d(b: Builder, op: FileOperator) -> None:
    """CONV_2D: weights [O, H, W, I / groups] become [O, I / groups, H, W]."""
    x = b.activation(op, 0)
    count, height, width, channels = image(b, op)
    outputs, rows, columns, depth = _weights(b, op, 1, 4)
    if channels % depth or outputs % (channels // depth):
        raise b.wrong(op, f"weights of {depth} input channels do not fit {channels} channels", list(b.shape(op, 1)))
    size, attrs = window(b, op, (height, width), (rows, columns), dilation_factors(b, op))
    weight = b.constant(op, 1, "conv", lambda w: w.transpose(0, 3, 1, 2))
    bias = b.bias(op, 2, x, weight, outputs)
    more = {"group": channels // depth, "channels_last": 1}
    b.emit_clamped(op, "Conv", _present(x, weight, bias), {**attrs, **more}, shape=(count, *size, outputs))


def depthwise_conv_2d(b: Builder, op: FileOperator) -> None:
    """DEPTHWISE_CONV_2D: weights [1, H, W, O] become [O, 1, H, W]."""
    x = b.activation(op, 0)
    count, height, width, channels = image(b, op)
    one, rows, columns, outputs = _weights(b, op, 1, 4)
    if one != 1 or not channels or outputs % channels:
        raise b.wrong(op, f"weights do not fit {channels} channels", list(b.shape(op, 1)))
    size, attrs = window(b, op, (height, width), (rows, columns), dilation_factors(b, op))
    weight = b.constant(op, 1, "depthwise", lambda w: w.transpose(3, 0, 1, 2))
    bias = b.bias(op, 2, x, weight, outputs)
    more = {"group": channels, "channels_last": 1}
    b.emit_clamped(op, "Conv", _present(x, weight, bias), {**attrs, **more}, shape=(count, *size, outputs))


def transpose_conv(b: Builder, op: FileOperator) -> None:
    """TRANSPOSE_CONV: weights [O, H, W, I] become [I, O, H, W]; the output size is an input of the operator."""
    x = b.activation(op, 2)
    count, height, width, channels = image(b, op, 2)
    outputs, rows, columns, depth = _weights(b, op, 1, 4)
    size = b.numbers(op, 0)
    strides = (b.option(op, "StrideH"), b.option(op, "StrideW"))
    if depth != channels or len(size) != 4 or (size[0], size[3]) != (count, outputs) or min(*strides, *size) < 1:
        raise b.wrong(op, "input, weights and output size do not fit each other", list(size))
    pads, extra = transposed_pads((height, width), (rows, columns), strides, size[1:3], b.option(op, "Padding"))
    if max(*pads, *extra) > max(rows, columns, *strides) or min(extra) < 0:
        raise b.wrong(op, "its output size is not possible", list(size))
    weight = b.constant(op, 1, "transposed", lambda w: w.transpose(3, 0, 1, 2), axis=1)
    bias = b.bias(op, 3, x, weight, outputs)
    attrs = {"strides": strides, "dilations": (1, 1), "pads": pads, "output_padding": extra}
    more = {"group": 1, "channels_last": 1}
    b.emit_clamped(op, "ConvTranspose", _present(x, weight, bias), {**attrs, **more}, shape=size)


def transposed_pads(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], out: tuple[int, ...], padding: int
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Return pads (top, left, bottom, right) and what is added at the far side to reach the size asked for."""
    before, after, extra = [], [], []
    for n, k, s, wanted in zip(size, kernel, strides, out, strict=True):
        # TFLite takes the padding that a convolution of the output with this window would have.
        _, first, _ = axis_window(wanted, k, s, 1, padding)
        last = (n - 1) * s + k - first - wanted
        before.append(first)
        after.append(max(last, 0))
        extra.append(max(-last, 0))
    return (before[0], before[1], after[0], after[1]), (extra[0], extra[1])


def fully_connected(b: Builder, op: FileOperator) -> None:
    """FULLY_CONNECTED: the input as rows of the weights' depth, weights [O, I]."""
    if op.options.get("WeightsFormat", 0):
        raise b.wrong(op, "shuffled weights are not supported", op.options["WeightsFormat"])
    x, shape = b.activation(op, 0), b.shape(op)
    outputs, depth = _weights(b, op, 1, 2)
    if not shape or prod(shape) % depth:
        raise b.wrong(op, f"an input of the shape {list(shape)} does not fit weights of depth {depth}")
    rows = prod(shape) // depth
    if prod(b.out_shape(op)) != rows * outputs:
        raise b.wrong(op, f"declares the output shape {list(b.out_shape(op))}, it computes {[rows, outputs]}")
    weight = b.constant(op, 1, "dense")
    bias = b.bias(op, 2, x, weight, outputs)
    if shape != (rows, depth):
        source, x = x, b.inner(f"{x}__rows", x, (rows, depth))
        b.emit("Reshape", (source,), (x,), {"shape": (rows, depth)})
    if b.out_shape(op) == (rows, outputs):
        b.emit_clamped(op, "Gemm", _present(x, weight, bias), {"transB": 1})
    else:
        _reshaped_gemm(b, op, _present(x, weight, bias), (rows, outputs))


def _reshaped_gemm(b: Builder, op: FileOperator, inputs: tuple[str, ...], shape: tuple[int, int]) -> None:
    """Append the product [rows, outputs], its clamp, and the Reshape to the declared output."""
    output, clamp = b.output(op), b.clamp(op)
    matrix = b.inner(f"{output}__matrix", output, shape)
    if clamp is None:
        b.emit("Gemm", inputs, (matrix,), {"transB": 1})
    else:
        before = b.inner(f"{output}__unclamped", output, shape)
        b.emit("Gemm", inputs, (before,), {"transB": 1})
        b.emit(clamp[0], (before,), (matrix,), dict(clamp[1]))
        b.folded.add(matrix)
    b.emit("Reshape", (matrix,), (output,), {"shape": b.tensors[output].shape})


def _present(*names: str) -> tuple[str, ...]:
    return tuple(name for name in names if name)
