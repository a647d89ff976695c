"""Resize: nearest moves integers; linear weighs them in fixed point of up to 11 bits, or by the rule's recipe."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.ops.clamp import ScaleChange
from slimai.simulator.ops.onnxruntime_float import compile_float_resize
from slimai.simulator.ops.resize_taps import linear_taps, nearest_index
from slimai.simulator.ops.tflite_resize import compile_tflite_linear
from slimai.simulator.rows import FlatRequantizer

_MOST_BITS, _ALL_BITS = 11, 22


def weight_bits(axes: int) -> int:
    """Return the bits of the weights along each of so many resized axes.

    All of them together take 22 at most, so that sums of 8-bit integers stay within 32.
    """
    return min(_MOST_BITS, _ALL_BITS // max(axes, 1))


def compile_resize(context: LayerContext) -> Compiled:
    """Return the kernel of a resize over any axes but the batch."""
    shape = context.graph.shape(context.layer.node.inputs[0])
    sizes = context.graph.shape(context.layer.outputs[0])
    scales = context.attrs.get("scales") or tuple(o / i for o, i in zip(sizes, shape, strict=True))
    axes = [axis for axis in range(1, len(shape)) if sizes[axis] != shape[axis] or scales[axis] != 1.0]
    if context.attrs["mode"] == "nearest":
        return _nearest(context, axes, shape, sizes, scales)
    return _linear(context, axes, shape, sizes, scales)


def _nearest(context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any) -> Compiled:
    attrs, name = context.attrs, context.layer.name
    mode, rounding = attrs["coordinate_transformation_mode"], attrs.get("nearest_mode", "round_prefer_floor")
    indices = {axis: nearest_index(shape[axis], sizes[axis], scales[axis], mode, rounding, name) for axis in axes}
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
    return _fixed_linear(context, axes, shape, sizes, scales)


def _fixed_linear(context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any) -> Compiled:
    """Weights round_half_even(fraction * 2**b) and their complement, of b bits; M = s_x / (s_y * 2**(b * axes))."""
    mode, name, x = context.attrs["coordinate_transformation_mode"], context.layer.name, context.input()
    taps = {axis: linear_taps(shape[axis], sizes[axis], scales[axis], mode, name) for axis in axes}
    unit = 1 << weight_bits(len(axes))
    bound = float(largest(x) * unit ** len(axes))
    real = np.array([x.scale / (context.out.scale * float(unit ** len(axes)))])
    limited = accumulator(context, bound)
    flat = FlatRequantizer(context.requantizer_of(real), limited)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        acc = inputs[0].astype(np.int64) - x.zero_point
        for axis, (lower, upper, fraction) in taps.items():
            weight = np.rint(fraction * np.float32(unit)).astype(np.int64)
            weight = weight.reshape((-1,) + (1,) * (acc.ndim - 1 - axis))
            acc = acc.take(lower, axis=axis) * (unit - weight) + acc.take(upper, axis=axis) * weight
        return [flat(acc, tally)]

    return Compiled(kernel)
