"""Resize: nearest moves integers; linear weighs them in 11-bit fixed point, or by the rule's recipe."""

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

WEIGHT_BITS = 11
MOST_AXES = 2  # whose weights' bits a multiplier takes away


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
    """Weights round_half_even(fraction * 2**11) and their complement; M = s_x / (s_y * 2**(11 * axes)).

    Of more than two axes the bits beyond those of two are rounded away (half up) before: no rule has a multiplier that
    is so small.
    """
    mode, name, x = context.attrs["coordinate_transformation_mode"], context.layer.name, context.input()
    taps = {axis: linear_taps(shape[axis], sizes[axis], scales[axis], mode, name) for axis in axes}
    unit, kept = 1 << WEIGHT_BITS, min(len(axes), MOST_AXES)
    beyond = WEIGHT_BITS * (len(axes) - kept)
    real = np.array([x.scale / (context.out.scale * float(unit**kept))])
    limited = accumulator(context, float(largest(x) * unit**kept))
    flat = FlatRequantizer(context.requantizer_of(real), limited)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        acc = inputs[0].astype(np.int64) - x.zero_point
        for axis, (lower, upper, fraction) in taps.items():
            weight = np.rint(fraction * np.float32(unit)).astype(np.int64)
            weight = weight.reshape((-1,) + (1,) * (acc.ndim - 1 - axis))
            acc = acc.take(lower, axis=axis) * (unit - weight) + acc.take(upper, axis=axis) * weight
        return [flat((acc + ((1 << beyond) >> 1)) >> beyond, tally)]

    return Compiled(kernel)
