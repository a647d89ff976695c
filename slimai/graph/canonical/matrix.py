"""Conv, ConvTranspose, Gemm, MatMul."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from slimai.graph.canonical.context import Context, has_input, integers, only
from slimai.graph.ir import Array, Node


def same_padding(sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], upper: bool) -> tuple[int, ...]:
    """Return the pads (begins, then ends) of auto_pad SAME; the odd element goes to the end when `upper`.

    `kernel` holds the extents with dilation. Source: the ONNX definition of Conv.
    """
    totals = [max((ceil(n / s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, kernel, strides, strict=True)]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (*small, *large) if upper else (*large, *small)


def window(context: Context, node: Node, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Return strides, dilations and explicit pads of a Conv or pooling node."""
    rank = len(kernel)
    strides = integers(node.attrs.get("strides", (1,) * rank))
    dilations = integers(node.attrs.get("dilations", (1,) * rank))
    auto = node.attrs.get("auto_pad", "NOTSET")
    pads = integers(node.attrs.get("pads", (0,) * (2 * rank))) if auto == "NOTSET" else (0,) * (2 * rank)
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = same_padding(context.shape(node.inputs[0])[2:], extents, strides, auto == "SAME_UPPER")
    return {"strides": strides, "dilations": dilations, "pads": pads}


def begins_inside(context: Context, node: Node, kernel: tuple[int, ...]) -> bool:
    """Return whether ONNX Runtime lets the first window of auto_pad SAME begin behind the first element.

    Its pads are negative where the stride leaves two or more elements over, and half of them are at the beginning. That
    is no padding that a node could spell out, and some of its kernels ignore it.
    """
    auto = node.attrs.get("auto_pad", "NOTSET")
    if not auto.startswith("SAME"):
        return False
    rank, sizes = len(kernel), context.shape(node.inputs[0])[2:]
    strides, dilations = (integers(node.attrs.get(key, (1,) * rank)) for key in ("strides", "dilations"))
    rows = zip(sizes, kernel, strides, dilations, strict=True)
    left = max(n - (ceil(n / s) - 1) * s - (k - 1) * d - 1 for n, k, s, d in rows)
    return left >= (2 if auto == "SAME_UPPER" else 3)


def conv(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Conv with explicit attributes."""
    kernel = context.shape(node.inputs[1])[2:]
    if begins_inside(context, node, kernel):
        return None
    return (only(node, 3, **window(context, node, kernel), group=int(node.attrs.get("group", 1))),)


def conv_transpose(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the ConvTranspose with explicit pads, recomputed from the output shape when that was given."""
    kernel = context.shape(node.inputs[1])[2:]
    rank = len(kernel)
    found = window(
        context, Node(node.name, node.op, node.inputs, node.outputs, {**node.attrs, "auto_pad": "NOTSET"}), kernel
    )
    extra = integers(node.attrs.get("output_padding", (0,) * rank))
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto == "VALID":
        found["pads"] = (0,) * (2 * rank)
    if auto.startswith("SAME") or "output_shape" in node.attrs:
        pads = _transposed_pads(context, node, kernel, found, extra)
        if pads is None:
            return None
        found["pads"] = pads
    return (only(node, 3, **found, group=int(node.attrs.get("group", 1)), output_padding=extra),)


def _transposed_pads(
    context: Context, node: Node, kernel: tuple[int, ...], found: dict[str, Any], extra: tuple[int, ...]
) -> tuple[int, ...] | None:
    sizes, wanted = context.shape(node.inputs[0])[2:], context.shape(node.outputs[0])[2:]
    rows = zip(sizes, wanted, kernel, found["strides"], found["dilations"], extra, strict=True)
    totals = [s * (n - 1) + e + (k - 1) * d + 1 - o for n, o, k, s, d, e in rows]
    if min(totals) < 0:
        return None
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (*small, *large) if node.attrs.get("auto_pad") == "SAME_UPPER" else (*large, *small)


def gemm(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Gemm with alpha, beta and transA folded into constants, a Transpose or a Mul.

    What would cost the product its integer kernel stands apart: a computed bias, or one that is no row, becomes an Add
    behind it, and a product of two activations a MatMul.
    """
    alpha = float(node.attrs.get("alpha", 1.0))
    before, inputs = _plain_a(context, node)
    b = context.constant(node, 1)
    if alpha != 1.0:
        if b is None:
            return None
        inputs[1] = context.add_constant(f"{inputs[1]}_scaled", b * b.dtype.type(alpha))
    scale, bias = _bias(context, node)
    constant, y = context.fixed(node.inputs[1]), node.outputs[0]
    if constant and bias and context.fixed(bias) and len(context.shape(bias)) == 1:
        inputs.append(bias)
        bias = ""
    output = context.add_tensor(f"{y}_product", context.shape(y)) if bias else y
    product = _product(context, node, inputs, output, constant=constant)
    end = (Node(f"{node.name}_bias", "Add", (output, bias), node.outputs),) if bias else ()
    return (*before, *product, *scale, *end)


def _product(context: Context, node: Node, inputs: list[str], output: str, *, constant: bool) -> tuple[Node, ...]:
    transposed = int(node.attrs.get("transB", 0))
    if constant:
        return (Node(node.name, "Gemm", tuple(inputs), (output,), {"transB": transposed}),)
    if not transposed:
        return (Node(node.name, "MatMul", tuple(inputs), (output,)),)
    turned = context.add_tensor(f"{node.outputs[0]}_b", context.shape(inputs[1])[::-1])
    turn = Node(f"{node.name}_transpose_b", "Transpose", (inputs[1],), (turned,), {"perm": (1, 0)})
    return (turn, Node(node.name, "MatMul", (inputs[0], turned), (output,)))


def _bias(context: Context, node: Node) -> tuple[tuple[Node, ...], str]:
    """Return the name of beta * C ("" where there is none), and the Mul that computes it where C is no constant."""
    beta = float(node.attrs.get("beta", 1.0))
    if not has_input(node, 2) or beta == 0.0:
        return (), ""
    c = context.constant(node, 2)
    if c is not None:
        return (), _plain_c(context, node, c, beta)
    if beta == 1.0:
        return (), node.inputs[2]
    scaled = context.add_tensor(f"{node.outputs[0]}_beta_c", context.shape(node.inputs[2]))
    factor = context.add_constant(f"{node.outputs[0]}_beta", np.array(beta, np.float32))
    return (Node(f"{node.name}_beta", "Mul", (node.inputs[2], factor), (scaled,)),), scaled


def _plain_a(context: Context, node: Node) -> tuple[list[Node], list[str]]:
    inputs = list(node.inputs[:2])
    if not node.attrs.get("transA", 0):
        return [], inputs
    constant = context.constant(node, 0)
    if constant is not None:
        inputs[0] = context.add_constant(f"{inputs[0]}_transposed", np.ascontiguousarray(constant.T))
        return [], inputs
    shape = context.shape(inputs[0])
    turned = context.add_tensor(f"{node.outputs[0]}_a", shape[::-1])
    before = Node(f"{node.name}_transpose", "Transpose", (inputs[0],), (turned,), {"perm": (1, 0)})
    inputs[0] = turned
    return [before], inputs


def _plain_c(context: Context, node: Node, value: Array, beta: float) -> str:
    rows, columns = context.shape(node.outputs[0])
    scaled = value if beta == 1.0 else value * value.dtype.type(beta)
    one_row = value.ndim < 2 or value.shape[0] == 1 or rows == 1
    if one_row and (value.ndim < 2 or value.shape[0] == 1):
        scaled = np.ascontiguousarray(np.broadcast_to(scaled.reshape(-1), (columns,)))
    if scaled.shape == value.shape and beta == 1.0:
        return node.inputs[2]
    return context.add_constant(f"{node.inputs[2]}_bias", scaled)


def matmul(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the MatMul as it is."""
    del context
    return (only(node, 2),)


RULES = {"Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul}
