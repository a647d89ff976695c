"""Resize: nearest moves integers; linear weighs them in fixed point of up to 11 bits, or by the rule's recipe."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int
from slimai.simulator.ops.clamp import ScaleChange
from slimai.simulator.ops.onnxruntime_float import compile_float_resize
from slimai.simulator.ops.resize_taps import linear_taps, nearest_index
from slimai.simulator.ops.tflite_resize import compile_tflite_linear, tflite_linear_tables
from slimai.simulator.requantize import Requantizer
from slimai.simulator.rows import FlatRequantizer

_MOST_BITS = 11
_ALL_BITS = {8: 22, 16: 27}  # by the bits of the input


def weight_bits(axes: int, input_bits: int) -> int:
    """Return the bits of the weights along each of so many resized axes.

    All of them together take 22 at most, so that sums of 8-bit integers stay within 32; 27 for 16-bit integers, whose
    sums times a multiplier of 16 bits stay within 64.
    """
    return min(_MOST_BITS, _ALL_BITS[input_bits] // max(axes, 1))


def compile_resize(context: LayerContext) -> Compiled:
    """Return the kernel of a resize over any axes but the batch."""
    axes, shape, sizes, scales = _extent(context)
    if context.attrs["mode"] == "nearest":
        return _nearest(context)
    return _linear(context, axes, shape, sizes, scales)


def _extent(context: LayerContext) -> tuple[list[int], Any, Any, Any]:
    """Return the resized axes, the shapes of input and output, and the scales of all axes."""
    shape = context.graph.shape(context.layer.node.inputs[0])
    sizes = context.graph.shape(context.layer.outputs[0])
    scales = context.attrs.get("scales") or tuple(o / i for o, i in zip(sizes, shape, strict=True))
    return (
        [axis for axis in range(1, len(shape)) if sizes[axis] != shape[axis] or scales[axis] != 1.0],
        shape,
        sizes,
        scales,
    )


def _indices(context: LayerContext) -> dict[int, Int]:
    """Return by resized axis the index in the input of each output pixel."""
    attrs, name = context.attrs, context.layer.name
    axes, shape, sizes, scales = _extent(context)
    mode, rounding = attrs["coordinate_transformation_mode"], attrs.get("nearest_mode", "round_prefer_floor")
    return {axis: nearest_index(shape[axis], sizes[axis], scales[axis], mode, rounding, name) for axis in axes}


def nearest_tables(context: LayerContext) -> dict[str, Array]:
    """Return `index_<axis>` of a nearest resize."""
    return {f"index_{axis}": index for axis, index in _indices(context).items()}


def linear_tables(context: LayerContext) -> tuple[dict[str, Array], bool]:
    """Return the tables of a linear resize, and whether they are those of TFLite's recipe.

    Else `lower_<axis>` and `weight_<axis>` (of the upper pixel, in 2**`weight_bits`), and the requantization.
    """
    axes, shape, sizes, scales = _extent(context)
    if context.rule.recipe == "tflite":
        own = tflite_linear_tables(context, axes, shape, sizes, scales)
        if own is not None:
            return own, True
    tables: dict[str, Array] = {}
    for axis, (lower, _, weight) in _weighted_taps(context).items():
        tables |= {f"lower_{axis}": lower, f"weight_{axis}": weight}
    return {**tables, **_linear_requantizer(context, len(axes)).table()}, False


def _weighted_taps(context: LayerContext) -> dict[int, tuple[Int, Int, Int]]:
    """Return by resized axis lower and upper index, and the weight of the upper in 2**`weight_bits`."""
    mode, name = context.attrs["coordinate_transformation_mode"], context.layer.name
    axes, shape, sizes, scales = _extent(context)
    unit = np.float32(1 << weight_bits(len(axes), context.input().dtype.bits))
    found = {}
    for axis in axes:
        lower, upper, fraction = linear_taps(shape[axis], sizes[axis], scales[axis], mode, name)
        found[axis] = (lower, upper, np.rint(fraction * unit).astype(np.int64))
    return found


def _linear_requantizer(context: LayerContext, axes: int) -> Requantizer:
    unit = float((1 << weight_bits(axes, context.input().dtype.bits)) ** axes)
    return context.requantizer_of(np.array([context.input().scale / (context.out.scale * unit)]))


def _nearest(context: LayerContext) -> Compiled:
    indices = _indices(context)
    change = ScaleChange(context)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        y = inputs[0]
        for axis, index in indices.items():
            y = y.take(index, axis=axis)
        return [change(y)]

    return Compiled(kernel)


def _linear(context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any) -> Compiled:
    if context.rule.recipe == "tflite":
        found = compile_tflite_linear(context, axes, shape, sizes, scales)
        if found is not None:
            return found
    if context.rule.recipe == "ort":
        return compile_float_resize(context, axes, shape, sizes, scales)
    return _fixed_linear(context, axes)


def _fixed_linear(context: LayerContext, axes: list[int]) -> Compiled:
    """Weights round_half_even(fraction * 2**b) and their complement, of b bits; M = s_x / (s_y * 2**(b * axes))."""
    x, taps = context.input(), _weighted_taps(context)
    unit = 1 << weight_bits(len(axes), context.input().dtype.bits)
    bound = float(largest(x) * unit ** len(axes))
    limited = accumulator(context, bound)
    flat = FlatRequantizer(_linear_requantizer(context, len(axes)), limited)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        acc = inputs[0].astype(np.int64) - x.zero_point
        for axis, (lower, upper, weights) in taps.items():
            weight = weights.reshape((-1,) + (1,) * (acc.ndim - 1 - axis))
            acc = acc.take(lower, axis=axis) * (unit - weight) + acc.take(upper, axis=axis) * weight
        return [flat(acc, tally)]

    return Compiled(kernel)
