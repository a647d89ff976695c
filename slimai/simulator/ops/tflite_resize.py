"""TFLite's bilinear resize: s8 and s16 with 10-bit positions and one division by 2**20, uint8 in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int
from slimai.simulator.ops.clamp import ScaleChange
from slimai.simulator.ops.resize_taps import source_positions

_UNIT = 1 << 10
_MODES = {"asymmetric": (False, False), "half_pixel": (False, True), "align_corners": (True, False)}
# Pixels by which TFLite's positions may miss the network's own: a step of 8 bits, a step of its own grid at 16.
_NEAR = {8: 2.0**-8, 16: 2.0**-10}


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


def compile_tflite_linear(
    context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any
) -> Compiled | None:
    """Return the kernel, or None for what TFLite cannot express.

    That is: not two spatial axes, another coordinate mode, or a place in the input that TFLite, which knows the two
    sizes only and counts in 1/1024 pixel, does not reach (an ONNX scale of 0.5 on 7 pixels is not 3/7). A network
    that was read from TFLite means TFLite's places, whatever they are.
    """
    found = tflite_places(context, axes, shape, sizes, scales)
    if found is None:
        return None
    spatial, align, half = found
    if context.input().dtype.name == "u8":
        return _float_linear(context, spatial, shape, sizes, align=align, half=half)
    taps = [(axis, *positions(shape[axis], sizes[axis], align=align, half=half)) for axis in spatial]
    change = ScaleChange(context)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        acc = inputs[0].astype(np.int64)
        for axis, lower, upper, fraction in taps:
            weight = fraction.reshape((-1,) + (1,) * (acc.ndim - 1 - axis))
            acc = acc.take(lower, axis=axis) * (_UNIT - weight) + acc.take(upper, axis=axis) * weight
        rounded = acc + np.where(acc > 0, 1 << 19, -(1 << 19))
        y = (np.sign(rounded) * (np.abs(rounded) >> 20)).astype(context.input().dtype.numpy)
        return [change(y)]

    return Compiled(kernel)


def tflite_linear_tables(
    context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any
) -> dict[str, Array] | None:
    """Return `lower_<axis>`, `upper_<axis>` and `weight_<axis>` of TFLite's recipe: in 2**10, of u8 in float32."""
    found = tflite_places(context, axes, shape, sizes, scales)
    if found is None:
        return None
    spatial, align, half = found
    taps = float_taps if context.input().dtype.name == "u8" else positions
    tables: dict[str, Array] = {}
    for axis in spatial:
        lower, upper, weight = taps(shape[axis], sizes[axis], align=align, half=half)
        tables |= {f"lower_{axis}": lower, f"upper_{axis}": upper, f"weight_{axis}": weight}
    return tables


def tflite_places(
    context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any
) -> tuple[list[int], bool, bool] | None:
    """Return (spatial axes, align corners, half pixel centres), or None for what TFLite cannot express."""
    mode = context.attrs["coordinate_transformation_mode"]
    spatial = [1, 2] if context.attrs.get("channels_last", 0) else [2, 3]
    if mode not in _MODES or len(shape) != 4 or not set(axes) <= set(spatial):
        return None
    align, half = _MODES[mode]
    if not context.attrs.get("integers_kept", 0):
        near = _NEAR[context.input().dtype.bits]
        misses = [_miss(context, shape[axis], sizes[axis], scales[axis], align=align, half=half) for axis in spatial]
        if max(misses) > near:
            return None
    return spatial, align, half


def _miss(context: LayerContext, size: int, out: int, scale: float, *, align: bool, half: bool) -> float:
    """Return the largest distance, in pixels, of TFLite's places along one axis from those of the ONNX formula."""
    mode = context.attrs["coordinate_transformation_mode"]
    taps = float_taps if context.input().dtype.name == "u8" else positions
    lower, upper, weight = taps(size, out, align=align, half=half)
    unit = 1.0 if context.input().dtype.name == "u8" else float(_UNIT)
    place = np.where(lower == upper, lower, lower + weight / unit)
    meant = np.clip(source_positions(size, out, scale, mode, context.layer.name), 0, np.float32(size - 1))
    return float(np.abs(place - meant).max())


def float_taps(size: int, out: int, *, align: bool, half: bool) -> tuple[Int, Int, NDArray[np.float32]]:
    """Return (lower index, upper index, weight of the upper in float32) along one axis."""
    single = np.float32
    scale = single(size) / single(out) if not (align and out > 1) else single(size - 1) / single(out - 1)
    at = np.arange(out, dtype=single)
    place = (at + single(0.5)) * scale - single(0.5) if half else at * scale
    lower = np.maximum(np.floor(place).astype(np.int64), 0)
    upper = np.minimum(np.ceil(place).astype(np.int64), size - 1)
    return np.minimum(lower, size - 1), upper, np.asarray(place - lower.astype(single), single)


def _float_linear(
    context: LayerContext, spatial: list[int], shape: Any, sizes: Any, *, align: bool, half: bool
) -> Compiled:
    """Return the uint8 kernel: four products in float32, their sum plus 0.5, truncated."""
    single = np.float32
    rows = float_taps(shape[spatial[0]], sizes[spatial[0]], align=align, half=half)
    columns = float_taps(shape[spatial[1]], sizes[spatial[1]], align=align, half=half)
    change = ScaleChange(context)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        x = inputs[0].astype(single)
        fy, fx = (
            taps[2].reshape((-1,) + (1,) * (x.ndim - 1 - axis))
            for taps, axis in zip((rows, columns), spatial, strict=True)
        )
        total: Any = None
        # The order of the products and of the sum is the kernel's own: x0 before x1 outside, y0 before y1 inside.
        for column, wx in ((columns[0], single(1.0) - fx), (columns[1], fx)):
            for row, wy in ((rows[0], single(1.0) - fy), (rows[1], fy)):
                part = x.take(row, axis=spatial[0]).take(column, axis=spatial[1]) * wy * wx
                total = part if total is None else total + part
        return [change(np.trunc(total + single(0.5)).astype(np.uint8))]

    return Compiled(kernel)
