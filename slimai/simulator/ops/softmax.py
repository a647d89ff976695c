"""Softmax over one axis: a table of exponentials, an integer sum, a rounded division; or the rule's recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int
from slimai.simulator.ops.onnxruntime_float import float_softmax
from slimai.simulator.ops.tflite_softmax import tflite_softmax

RowFunction = Callable[[Array], Int]
LONG_AXIS = 1024  # beyond it, sums of 32 bits leave an exponential less than 20 bits


def compile_softmax(context: LayerContext) -> Compiled:
    """Return the kernel of a softmax along attribute `axis`."""
    x, out, axis = context.input(), context.out, int(context.attrs["axis"])
    depth = context.graph.shape(context.layer.outputs[0])[axis]
    rows = _recipe(context, x, out, depth)
    low, high = context.limits

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        moved = np.moveaxis(inputs[0], axis, -1)
        flat = np.ascontiguousarray(moved).reshape(-1, moved.shape[-1])
        result = np.clip(rows(flat), low, high).astype(out.dtype.numpy)
        return [np.moveaxis(result.reshape(moved.shape), -1, axis)]

    return Compiled(kernel)


def _recipe(context: LayerContext, x: QParams, out: QParams, depth: int) -> RowFunction:
    if context.rule.recipe == "tflite":
        recipe = tflite_softmax(x, out, depth, interpolated=bool(context.attrs.get("interpolated", 0)))
        if recipe is not None:
            return recipe
    if context.rule.recipe == "ort":
        return lambda rows: float_softmax(rows.astype(np.int64), x, out)
    table, fraction = exponentials(x, depth), int(np.rint(256.0 / out.scale))
    return lambda rows: divided(rows, table, fraction, out)


def exponentials(x: QParams, depth: int) -> NDArray[np.int64]:
    """Return E[d] = round_half_even(exp(-d * s_x) * 2**k) for d = 0 .. 2**bits - 1.

    k = min(23, 30 - ceil(log2(depth))), so that a sum of `depth` of them fits 32 bits. Of 16-bit inputs and of axes
    longer than `LONG_AXIS` k is 30 and the sum has 64 bits: each rounded exponential would count once too much.
    """
    bits = 30 if x.dtype.bits > 8 or depth > LONG_AXIS else min(23, 30 - (max(depth, 1) - 1).bit_length())
    distance = np.arange(1 << x.dtype.bits, dtype=np.float64)
    return np.rint(np.exp(-distance * x.scale) * 2.0**bits).astype(np.int64)


def divided(rows: Array, table: Int, fraction: int, out: QParams) -> Int:
    """Return z + floor((E * R + 128 * S) / (256 * S)), R = round_half_even(256 / s_y), S the sum of a row."""
    from slimai.simulator._kernels_softmax import divided_rows  # noqa: PLC0415 - spares numba

    integers = np.empty(rows.shape, np.int64)
    divided_rows(rows, table, fraction, out.zero_point, integers)
    return integers
