"""Conv, ConvTranspose, Gemm, MatMul."""

from __future__ import annotations

import numpy as np
from net_builder import Net
from net_row import Row, require, window


def conv(net: Net) -> None:
    x = net.take((3, 4, 4, 4, 5))
    shape = net.shape(x)
    channels, sizes = shape[1], shape[2:]
    group = net.among(*[g for g in range(1, channels + 1) if channels % g == 0])
    outputs = group * net.integer(1, 3)
    attrs = window(net, sizes)
    kernel = attrs["kernel_shape"] if net.coin() else attrs.pop("kernel_shape")
    if group > 1 or net.coin():
        attrs["group"] = group
    w = net.constant(net.weights((outputs, channels // group, *kernel)))
    net.node("Conv", [x, w, *_bias(net, outputs)], attrs)
    if attrs.get("auto_pad", "").startswith("SAME"):
        net.on_host("Conv", "no integer kernel")  # windows that ONNX Runtime lets begin inside


def conv_transpose(net: Net) -> None:
    x = net.take((3, 4, 4, 4, 5), most=400)
    shape = net.shape(x)
    channels, rank = shape[1], len(shape) - 2
    group = net.among(*[g for g in range(1, channels + 1) if channels % g == 0])
    kernel = [net.integer(1, 4) for _ in range(rank)]
    strides = [net.integer(1, 3) for _ in range(rank)]
    attrs = {"kernel_shape": kernel, "strides": strides, "group": group}
    if net.rare(3):
        attrs["dilations"] = [net.integer(1, 2) for _ in range(rank)]
    form = net.among("plain", "pads", "output_padding", "SAME_UPPER", "SAME_LOWER", "VALID")
    if form == "pads":
        attrs["pads"] = [net.integer(0, max(0, (k - 1) // 2)) for k in kernel] * 2
    elif form == "output_padding":
        attrs["output_padding"] = [net.integer(0, s - 1) for s in strides]
    elif form != "plain":
        require(all(k >= s for k, s in zip(kernel, strides, strict=True)))
        attrs["auto_pad"] = form
    per_group = net.integer(1, 3)
    w = net.constant(net.weights((channels, per_group, *kernel), terms=channels // group * 4))
    net.node("ConvTranspose", [x, w, *_bias(net, group * per_group)], attrs)


def _bias(net: Net, size: int) -> list[str]:
    return [net.constant(net.weights((size,), terms=1))] if net.coin() else []


def gemm(net: Net) -> None:
    x = net.take((2,))
    rows, inner = net.shape(x)
    attrs = {}
    if net.rare(6):
        attrs["transA"], rows, inner = 1, inner, rows
    columns = net.integer(1, 8)
    turned = net.integer(0, 1)
    if turned or net.coin():
        attrs["transB"] = turned
    if net.rare(4):
        attrs["alpha"] = net.among(0.5, 2.0)
    if net.rare(4):
        attrs["beta"] = net.among(0.25, 2.0, 0.0)
    w = net.constant(net.weights((columns, inner) if turned else (inner, columns), terms=inner))
    inputs = [x, w]
    # operator set 11 made C optional
    if net.opset < 11 or not net.rare(3):
        shape = net.among((columns,), (1, columns), (1,), (), (rows, columns), (rows, 1))
        inputs.append(net.constant(net.weights(shape, terms=1)))
    net.node("Gemm", inputs, attrs)


def matmul(net: Net) -> None:
    x = net.take()
    shape = net.shape(x)
    form = net.among("weights", "weights", "weights", "stack", "first", "computed", "vector")
    if form == "computed":
        turned = _transposed(net, x)
        net.node("MatMul", [x, turned])
    elif form == "first":
        require(len(shape) >= 2)
        net.node("MatMul", [net.constant(net.weights((net.integer(1, 6), shape[-2]), terms=shape[-2])), x])
        net.on_host("MatMul", "first input")
    elif form == "vector":
        net.node("MatMul", [x, net.constant(net.weights((shape[-1],), terms=shape[-1]))])
    else:
        lead = shape[1:-2] if form == "stack" and len(shape) > 2 else ()
        lead = tuple(size if net.coin() else 1 for size in lead)
        w = net.weights((*lead, shape[-1], net.integer(1, 8)), terms=shape[-1])
        net.node("MatMul", [x, net.constant(w)])


def _transposed(net: Net, x: str) -> str:
    """Return another activation that x can be multiplied by: x itself with its last two axes exchanged."""
    rank = len(net.shape(x))
    require(rank >= 2)
    perm = [*range(rank - 2), rank - 1, rank - 2]
    scale = np.float32(1 / np.sqrt(net.shape(x)[-1]))
    return net.node("Transpose", [net.node("Mul", [x, net.constant(scale)])], {"perm": perm})


MATRIX: dict[str, Row] = {
    "Conv": Row(conv),
    "ConvTranspose": Row(conv_transpose),
    "Gemm": Row(gemm),
    "MatMul": Row(matmul),
}
