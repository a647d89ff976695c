"""Gemm and MatMul: exact products of integer matrices, then the requantization of the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.accumulate import accumulator, exact_dtype, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.ops.conv import layer_weight, matrix_requantizer
from slimai.simulator.product import Product
from slimai.simulator.requantize import Requantizer
from slimai.simulator.rows import RowRequantizer
from slimai.simulator.weight_forms import DenseWeights, weight_values


def compile_gemm(context: LayerContext) -> Compiled:
    """Return the kernel of a matrix product with constant b and bias c."""
    transposed = bool(context.attrs.get("transB", 0))
    return _constant_product(context, DenseWeights.of(layer_weight(context), transposed=transposed))


def compile_matmul(context: LayerContext) -> Compiled:
    """Return the kernel of a (stacked) matrix product; the second operand is a constant matrix or an activation."""
    if context.layer.weight is not None and context.layer.weight.values.ndim == 2:
        return _constant_product(context, DenseWeights.of(context.layer.weight, transposed=False))
    return _general_product(context)


def _constant_product(context: LayerContext, weights: DenseWeights) -> Compiled:
    columns, weight_sum = weights.matrix.columns, weights.magnitudes
    x = context.input()
    bias = np.zeros(columns, np.int64) if context.layer.bias is None else context.layer.bias.reshape(-1)
    reach = float((weight_sum * largest(x)).max(initial=0))
    whole = float((weight_sum * largest(x) + np.abs(bias)).max(initial=0))
    requantizer = matrix_requantizer(context, layer_weight(context).scale)
    rows = RowRequantizer(requantizer, bias, accumulator(context, whole), columns)
    product = Product(weights.matrix, x, reach, context.pool)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        a = inputs[0]
        flat = a.reshape(-1, a.shape[-1])
        cols = product.rows(flat.shape[0])
        np.subtract(flat, x.zero_point, out=cols[: flat.shape[0], : product.depth], dtype=cols.dtype, casting="unsafe")
        out = context.pool.empty((flat.shape[0], columns), context.out.dtype.numpy)
        rows(product.multiply(cols, flat.shape[0], product.sums(flat.shape[0])), out, tally)
        return [out.reshape(*a.shape[:-1], columns)]

    tables = {"weight": layer_weight(context).values, **requantizer.table()}
    return Compiled(kernel, tables if context.layer.bias is None else {**tables, "bias": bias})


def product_requantizer(context: LayerContext) -> Requantizer:
    """Return the requantizer of a layer with constant weights: a convolution or a matrix product."""
    weight = context.layer.weight
    if weight is None:
        return _pair_requantizer(context, context.input().scale, context.input(1).scale)
    if context.layer.node.op == "MatMul" and weight.values.ndim != 2:
        return _pair_requantizer(context, context.input().scale, float(weight.scale[0]))
    return matrix_requantizer(context, weight.scale)


def _pair_requantizer(context: LayerContext, first: float, second: float) -> Requantizer:
    """Return the requantizer of a product of two activations; TFLite multiplies the two scales in float32."""
    if context.rule.recipe != "tflite":
        return context.requantizer(first, second)
    return context.requantizer_of(np.array([float(np.float32(first) * np.float32(second)) / context.out.scale]))


def _general_product(context: LayerContext) -> Compiled:
    """Return the kernel of two activations, or of a stacked constant, with one scale each."""
    weight, a = context.layer.weight, context.input()
    if weight is not None:
        constant: NDArray[np.int64] | None = weight_values(weight)
        scale, reach = float(weight.scale[0]), int(np.abs(weight_values(weight)).max(initial=0))
        if weight.scale.size > 1:
            raise ValueError(f"{context.layer.name}: a stacked MatMul takes one weight scale")
        zero = 0
    else:
        b, operand = context.input(1), context.layer.operands.get(1)
        constant = None if operand is None else operand[0].astype(np.int64)
        scale, reach, zero = b.scale, largest(b), b.zero_point
    depth = context.graph.shape(context.layer.node.inputs[0])[-1]
    bound = float(depth * largest(a) * reach)
    dtype = exact_dtype(bound)
    requantizer = _pair_requantizer(context, a.scale, scale)
    rows = RowRequantizer(requantizer, np.zeros(1, np.int64), accumulator(context, bound), 1)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        second = inputs[1] if constant is None else constant
        left, right = inputs[0].astype(dtype) - dtype.type(a.zero_point), second.astype(dtype) - dtype.type(zero)
        acc = np.matmul(left, right)
        out = np.empty(acc.shape, context.out.dtype.numpy)
        rows(acc.reshape(-1, 1), out.reshape(-1, 1), tally)
        return [out]

    return Compiled(kernel, requantizer.table())
