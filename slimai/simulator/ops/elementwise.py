"""Add, Sub, Mul and SquaredDifference of two activations (or an activation and a constant), with NumPy broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.quantizer.params import QParams
from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import (
    S32_HIGH,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    round_half_away,
)
from slimai.simulator.layout import dense
from slimai.simulator.lookup import every_integer
from slimai.simulator.ops.onnxruntime_float import compile_float_product, compile_float_sum
from slimai.simulator.requantize import GEMMLOWP, build_requantizer
from slimai.simulator.rows import FlatRequantizer

Accumulate = Callable[[Array, Array, Array], None]
_CHUNK = 1 << 15  # sums that are made before they are requantized: what a second-level cache holds


def compile_add(context: LayerContext) -> Compiled:
    """Return the kernel of a sum."""
    return _sum(context, 1)


def compile_sub(context: LayerContext) -> Compiled:
    """Return the kernel of a difference."""
    return _sum(context, -1)


def _sum(context: LayerContext, sign: int) -> Compiled:
    if context.rule.recipe == "tflite":
        return _tflite_sum(context, sign)
    if context.rule.recipe == "ort":
        return compile_float_sum(context, sign)
    return _weighted_sum(context, sign)


def common_weights(a: QParams, b: QParams, out: QParams, where: str) -> tuple[int, int, int]:
    """Return (ka, kb, t): u16 weights of both operands at the largest common shift t in 0..255.

    ka = round_half_away(s_a / s_y * 2**t), kb likewise; the larger one is at most 65535.

    Raises:
        InputError: a ratio of scales of 2**16 or more.
    """
    ratios = (a.scale / out.scale, b.scale / out.scale)
    shift = min(255, 17 - int(np.frexp(max(ratios))[1]))
    while shift >= 0 and round_half_away(np.ldexp(max(ratios), shift)) > 65535:
        shift -= 1
    if shift < 0:
        raise InputError.at(where, "ratio of input to output scale does not fit 16 bits", max(ratios))
    ka, kb = (int(round_half_away(np.ldexp(ratio, shift))) for ratio in ratios)
    return ka, kb, shift


def _weighted_sum(context: LayerContext, sign: int) -> Compiled:
    from slimai.simulator._kernels_elementwise import weighted_sum  # noqa: PLC0415 - spares numba

    a, b = context.input(0), context.input(1)
    ka, kb, shift = common_weights(a, b, context.out, context.layer.name)
    bound = float(ka * largest(a) + kb * largest(b))
    requantizer = context.requantizer_of(np.array([np.ldexp(1.0, -shift)]))

    def accumulate(x: Array, y: Array, acc: Array) -> None:
        weighted_sum(
            x, np.int32(a.zero_point), acc.dtype.type(ka), y, np.int32(b.zero_point), acc.dtype.type(sign * kb), acc
        )

    flat = FlatRequantizer(requantizer, accumulator(context, bound))
    tables = {"weights": np.array([ka, sign * kb]), **requantizer.table()}
    return Compiled(_paired(context, accumulate, flat, bound), tables)


def _paired(context: LayerContext, accumulate: Accumulate, finish: FlatRequantizer, bound: float) -> Any:
    """Return the kernel that brings both operands to one shape and memory order, accumulates and requantizes."""
    dtype = np.dtype(np.int32 if bound <= S32_HIGH else np.int64)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        x, y = same_layout(*context.arranged(inputs))
        out = context.pool.like(x, finish.dtype)
        left, right, target = x.ravel(order="K"), y.ravel(order="K"), out.ravel(order="K")
        acc = context.pool.empty((min(_CHUNK, target.size),), dtype)
        for first in range(0, target.size, _CHUNK):
            part = slice(first, first + _CHUNK)
            sums = acc[: target[part].size]
            accumulate(left[part], right[part], sums)
            finish.flat(sums, target[part], tally)
        return [out]

    return kernel


def same_layout(x: Array, y: Array) -> tuple[Array, Array]:
    """Return both arrays broadcast to one shape, dense, in the memory order of the first of full shape."""
    if x.shape == y.shape and x.strides == y.strides and x.itemsize * x.size == abs(max(x.strides, default=0)) * len(x):
        return x, y
    shape = np.broadcast_shapes(x.shape, y.shape)
    model = x if x.shape == shape else y
    order = sorted(range(len(shape)), key=lambda axis: (-model.strides[axis], axis)) if model.shape == shape else None

    def laid(array: Array) -> Array:
        whole = np.broadcast_to(array, shape)
        return dense(whole) if order is None else dense(whole.transpose(order)).transpose(np.argsort(order))

    return laid(x), laid(y)


def _tflite_sum(context: LayerContext, sign: int) -> Compiled:
    """Both operands shifted left by 20 (15 for s16), scaled by s / (2 max s), summed and scaled to the output."""
    a, b, out = context.input(0), context.input(1), context.out
    left, double = tflite_sum_scale(context)
    # |a'|, |b'|: |a - z| * 2**left / 2, rounded once or twice.
    bound = float(((largest(a) + largest(b)) << (left - 1)) + 4)
    real = np.array([double / ((1 << left) * out.scale)])
    requantizer = build_requantizer(GEMMLOWP, real, out, context.layer.name, context.limits)
    short = max(largest(a), largest(b)) << left <= S32_HIGH
    accumulate = (_scaled_sum if short else _table_sum)(a, b, double, left, sign)
    flat = FlatRequantizer(requantizer, accumulator(context, bound))
    return Compiled(_paired(context, accumulate, flat, bound), requantizer.table())


def tflite_sum_scale(context: LayerContext) -> tuple[int, float]:
    """Return by how many bits both operands of TFLite's sum are shifted left, and S of docs/arithmetic.md."""
    left = 15 if context.out.dtype.bits > 8 or context.wide else 20
    return left, 2.0 * max(context.input(0).scale, context.input(1).scale)


def compile_squareddifference(context: LayerContext) -> Compiled:
    """Return the kernel of TFLite's SQUARED_DIFFERENCE, under every preset: its difference on 16 bits, squared."""
    a, b, out = context.input(0), context.input(1), context.out
    left, double = squared_difference_scale(context)
    bound = squared_difference_bound(context)
    real = np.array([double * double / ((1 << 2 * left) * out.scale)])
    requantizer = build_requantizer(GEMMLOWP, real, out, context.layer.name, context.limits)
    difference = _table_sum(a, b, double, left, -1)

    def accumulate(x: Array, y: Array, acc: Array) -> None:
        difference(x, y, acc)
        np.multiply(acc, acc, out=acc)

    flat = FlatRequantizer(requantizer, accumulator(context, bound))
    return Compiled(_paired(context, accumulate, flat, bound), requantizer.table())


def squared_difference_scale(context: LayerContext) -> tuple[int, float]:
    """Return by how many bits both operands are shifted left, 7 of 8 bits and 0 of 16, and S of docs/arithmetic.md."""
    a, b = context.input(0), context.input(1)
    return 0 if max(largest(a), largest(b)) > 255 else 7, 2.0 * max(a.scale, b.scale)


def squared_difference_bound(context: LayerContext) -> float:
    """Return what no squared difference exceeds: |a'|, |b'| are at most |a - z| * 2^left / 2, rounded twice."""
    magnitudes = largest(context.input(0)) + largest(context.input(1))
    return float(((magnitudes << squared_difference_scale(context)[0]) // 2 + 4) ** 2)


def _table_sum(a: QParams, b: QParams, double: float, left: int, sign: int) -> Accumulate:
    """Return the sum by a table an operand: small ones of 8 bits stay in the cache."""
    from slimai.simulator._kernels_elementwise import table_sum  # noqa: PLC0415 - spares numba

    table_a, table_b = _scaled_table(a, double, left, 1), _scaled_table(b, double, left, sign)

    def accumulate(x: Array, y: Array, acc: Array) -> None:
        table_sum(x, a.dtype.low, table_a, y, b.dtype.low, table_b, acc)

    return accumulate


def _scaled_sum(a: QParams, b: QParams, double: float, left: int, sign: int) -> Accumulate:
    """Return the sum by products of 32-bit factors, for operands that leave 32 bits by no shift."""
    from slimai.simulator._kernels_elementwise import scaled_sum  # noqa: PLC0415 - spares numba

    multiplier, exponent = quantize_multiplier(np.array([a.scale, b.scale]) / double)
    ka, kb = (np.int32(value) for value in multiplier)
    right = np.minimum(-exponent, 31)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    shifts = np.array([right[0], half[0], right[1], half[1], sign, left], np.int32)

    def accumulate(x: Array, y: Array, acc: Array) -> None:
        scaled_sum(x, np.int32(a.zero_point), ka, y, np.int32(b.zero_point), kb, shifts, acc)

    return accumulate


def _scaled_table(params: QParams, double: float, left: int, sign: int) -> NDArray[np.int32]:
    multiplier, exponent = quantize_multiplier(np.array([params.scale / double]))
    shifted = (every_integer(params) - params.zero_point) << left
    return (sign * multiply_by_quantized_multiplier(shifted, multiplier, exponent)).astype(np.int32)


def compile_mul(context: LayerContext) -> Compiled:
    """Return the kernel of an elementwise product."""
    from slimai.simulator._kernels_elementwise import centred_product  # noqa: PLC0415 - spares numba

    if context.rule.recipe == "ort":
        return compile_float_product(context)
    a, b, out = context.input(0), context.input(1), context.out
    if context.rule.recipe == "tflite":
        context = context.under(GEMMLOWP)
        real = np.float32(a.scale) * np.float32(b.scale) / np.float32(out.scale)
        requantizer = context.requantizer_of(np.array([real], np.float64))
    else:
        requantizer = context.requantizer(a.scale, b.scale)
    bound = float(largest(a) * largest(b))

    def accumulate(x: Array, y: Array, acc: Array) -> None:
        centred_product(x, np.int32(a.zero_point), y, np.int32(b.zero_point), acc)

    flat = FlatRequantizer(requantizer, accumulator(context, bound))
    return Compiled(_paired(context, accumulate, flat, bound), requantizer.table())
