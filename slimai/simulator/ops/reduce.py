"""Reductions over axes: largest, smallest, sum, root of the sum of squares (means are in `pool`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally, centred
from slimai.simulator.fixed_point import (
    bit_length,
    floor_root,
    half_up_shift,
    quantize_multiplier,
)
from slimai.simulator.ops.move import unary_move


def compile_reducemax(context: LayerContext) -> Compiled:
    """Return the kernel of the largest integer over `axes`."""
    axes, keep = _axes(context)
    return unary_move(context, lambda x: x.max(axis=axes, keepdims=keep))


def compile_reducemin(context: LayerContext) -> Compiled:
    """Return the kernel of the smallest integer over `axes`."""
    axes, keep = _axes(context)
    return unary_move(context, lambda x: x.min(axis=axes, keepdims=keep))


def _axes(context: LayerContext) -> tuple[tuple[int, ...], bool]:
    return tuple(context.attrs["axes"]), bool(context.attrs["keepdims"])


def _size(context: LayerContext, axes: tuple[int, ...]) -> int:
    shape = context.graph.shape(context.layer.node.inputs[0])
    return math.prod(shape[axis] for axis in axes)


def compile_reducesum(context: LayerContext) -> Compiled:
    """Return the kernel of a sum over `axes`."""
    (axes, keep), x = _axes(context), context.input()
    size = _size(context, axes)
    limit = accumulator(context, float(size * largest(x)))
    finish = context.requantizer(x.scale)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        sums = inputs[0].sum(axis=axes, dtype=np.int64, keepdims=keep) - size * x.zero_point
        return [finish.exact(limit.limit(sums, tally))]

    return Compiled(kernel, finish.table())


def compile_reducel2(context: LayerContext) -> Compiled:
    """Return the kernel of the square root of the sum of squares over `axes`; docs/arithmetic.md, section 5."""
    (axes, keep), x, out = _axes(context), context.input(), context.out
    low, high = context.limits
    multiplier, exponent = (int(item[0]) for item in quantize_multiplier(np.array([x.scale / out.scale])))

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        squares = np.asarray(np.square(centred(inputs[0], x)).sum(axis=axes, keepdims=keep))
        left = np.maximum(62 - bit_length(squares), 0) // 2 * 2
        shift = 31 - exponent + left // 2
        product = floor_root(squares << left) * multiplier
        raw = np.where(shift > 62, 0, half_up_shift(product, np.clip(shift, 0, 62)))
        return [np.clip(raw + out.zero_point, low, high).astype(out.dtype.numpy)]

    return Compiled(kernel, {"multiplier": np.array([multiplier]), "exponent": np.array([exponent])})
