"""TFLite's integer bilinear resize: 10-bit positions, one division by 2**20 with ties away from zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int
from slimai.simulator.lookup import look_up
from slimai.simulator.ops.clamp import scale_change

_UNIT = 1 << 10
_MODES = {"asymmetric": (False, False), "half_pixel": (False, True), "align_corners": (True, False)}


def positions(size: int, out: int, *, align: bool, half: bool) -> tuple[Int, Int, Int]:
    """Return (lower index, upper index, weight of the upper in 1/1024) along one axis."""
    scale = (_UNIT * size + out // 2) // out
    if align and out > 1:
        scale = (_UNIT * (size - 1) + (out - 1) // 2) // (out - 1)
    place = np.arange(out, dtype=np.int64) * scale + (scale // 2 - (1 << 9) if half else 0)
    # C's integer division truncates towards zero; a negative place has lower index 0 either way.
    lower = np.maximum(np.sign(place) * (np.abs(place) // _UNIT), 0)
    ahead = place + _UNIT - 1
    upper = np.minimum(np.sign(ahead) * (np.abs(ahead) // _UNIT), size - 1)
    return np.minimum(lower, size - 1), upper, place - _UNIT * lower


def compile_tflite_linear(context: LayerContext, axes: list[int], shape: Any, sizes: Any) -> Compiled | None:
    """Return the kernel, or None for a case TFLite has no kernel for (not two spatial axes, another mode)."""
    mode = context.attrs["coordinate_transformation_mode"]
    spatial = [1, 2] if context.attrs.get("channels_last", 0) else [2, 3]
    if mode not in _MODES or len(shape) != 4 or not set(axes) <= set(spatial):
        return None
    align, half = _MODES[mode]
    taps = [(axis, *positions(shape[axis], sizes[axis], align=align, half=half)) for axis in spatial]
    low, high = context.limits
    tied, first = context.input() == context.out, context.input().dtype.low
    table = np.clip(scale_change(context), low, high).astype(context.out.dtype.numpy)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        acc = inputs[0].astype(np.int64)
        for axis, lower, upper, fraction in taps:
            weight = fraction.reshape((-1,) + (1,) * (acc.ndim - 1 - axis))
            acc = acc.take(lower, axis=axis) * (_UNIT - weight) + acc.take(upper, axis=axis) * weight
        rounded = acc + np.where(acc > 0, 1 << 19, -(1 << 19))
        y = (np.sign(rounded) * (np.abs(rounded) >> 20)).astype(context.input().dtype.numpy)
        return [y if tied and context.layer.activation is None else look_up(y, first, table)]

    return Compiled(kernel)
