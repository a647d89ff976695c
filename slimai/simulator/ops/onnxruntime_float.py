"""ONNX Runtime's recipes for quantized sums, products, means, softmax and resize, in its float32 steps.

Where its AVX2 kernels use a fused multiply-add, the sum is taken in float64 and rounded once: the product of two
float32 is exact there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int
from slimai.simulator.ops.clamp import ScaleChange
from slimai.simulator.ops.resize_taps import linear_taps

Float = NDArray[np.float32]
_F32 = np.float32


def fused_multiply_add(a: Any, b: Any, c: Any) -> Float:
    """Return a * b + c of float32 values with one rounding."""
    return np.asarray(np.asarray(a, np.float64) * np.asarray(b, np.float64) + np.asarray(c, np.float64), _F32)


def _saturated(value: Array, context: LayerContext) -> Array:
    low, high = context.limits
    return np.clip(np.rint(value), low, high).astype(context.out.dtype.numpy)


def compile_float_sum(context: LayerContext, sign: int) -> Compiled:
    """Return the kernel of QLinearAdd: fma(a, s_a / s_y, fma(b, s_b / s_y, fixed)), rounded half to even.

    fixed = z_y - (s_a / s_y * z_a + s_b / s_y * z_b). A difference negates the second ratio.
    """
    a, b, out = context.input(0), context.input(1), context.out
    first, second = _F32(a.scale) / _F32(out.scale), _F32(sign) * (_F32(b.scale) / _F32(out.scale))
    product = second * _F32(b.zero_point)
    fixed = _F32(out.zero_point) - fused_multiply_add(first, _F32(a.zero_point), product)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        x, y = context.arranged(inputs)
        inner = fused_multiply_add(y.astype(_F32), second, fixed)
        return [_saturated(fused_multiply_add(x.astype(_F32), first, inner), context)]

    return Compiled(kernel)


def compile_float_product(context: LayerContext) -> Compiled:
    """Return the kernel of QLinearMul: (a - z_a) * (b - z_b) * (s_a * s_b / s_y) + z_y, each step in float32."""
    a, b, out = context.input(0), context.input(1), context.out
    ratio = _F32(a.scale) * _F32(b.scale) / _F32(out.scale)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        x, y = context.arranged(inputs)
        product = (x.astype(np.int64) - a.zero_point) * (y.astype(np.int64) - b.zero_point)
        return [_saturated(product.astype(_F32) * ratio + _F32(out.zero_point), context)]

    return Compiled(kernel)


def float_mean(context: LayerContext, sums: Int, size: int) -> Array:
    """Return QLinearGlobalAveragePool of centred sums: times s_x / (s_y * n), clamped, half to even, plus z_y."""
    out = context.out
    scale = _F32(context.input().scale) / (_F32(out.scale) * _F32(size))
    value = sums.astype(_F32) * scale
    return _saturated(np.rint(value) + _F32(out.zero_point), context)


def float_window_mean(context: LayerContext, total: Float, counts: Int) -> Array:
    """Return QLinearAveragePool of float32 window sums: divided by n, then by s_y, plus z_y, half to even."""
    out = context.out
    mean = total / counts.astype(_F32)
    return _saturated(mean / _F32(out.scale) + _F32(out.zero_point), context)


def float_softmax(rows: Int, x: QParams, out: QParams) -> Int:
    """Return QLinearSoftmax of integer rows [R, D]: a float32 table, a float32 sum from left to right.

    The table is exp(s_x * (i - 255 + shift)) with shift * s_x = max(0, ln(max float32 / D) - 5). Where there is no such
    operator (16 bits), and where that table times floor(1 / s_y) leaves float32 (D = 1, or a fine s_y), the runtime's
    QDQ form counts: dequantize, softmax, quantize.
    """
    depth, unit = rows.shape[1], np.floor(_F32(1.0) / _F32(out.scale))
    room = float(np.log(np.finfo(np.float32).max / _F32(depth)))
    if x.dtype.bits > 8 or out.dtype.bits > 8 or float(np.log(max(unit, 1.0))) >= 5.0 + np.log(depth):
        return _dequantized_softmax(rows, x, out)
    scale = float(_F32(x.scale))
    shift = max(0.0, room - 5.0) / scale
    table = np.exp((np.arange(1 << x.dtype.bits) - ((1 << x.dtype.bits) - 1) + shift) * scale).astype(_F32)
    powers = table[rows - rows.max(axis=1, keepdims=True) + ((1 << x.dtype.bits) - 1)]
    total = np.zeros(rows.shape[0], _F32)
    for column in range(depth):
        total = total + powers[:, column]
    integers: Int = np.rint(powers * unit / total[:, None]).astype(np.int64) + out.zero_point
    return integers


def _dequantized_softmax(rows: Int, x: QParams, out: QParams) -> Int:
    """Return rhe(softmax / s_y) + z_y: distances, exponentials and quotients in float32, their sum from left to right.

    The exponential is taken in float64 and rounded once; the runtime's own is within 1 unit of the last place.
    """
    distance = (rows - rows.max(axis=1, keepdims=True)).astype(_F32) * _F32(x.scale)
    powers = np.exp(distance.astype(np.float64)).astype(_F32)
    total = np.zeros(rows.shape[0], _F32)
    for column in range(rows.shape[1]):
        total = total + powers[:, column]
    integers: Int = np.rint(powers / total[:, None] / _F32(out.scale)).astype(np.int64) + out.zero_point
    return integers


def compile_float_resize(context: LayerContext, axes: list[int], shape: Any, sizes: Any, scales: Any) -> Compiled:
    """Return the kernel of a linear Resize: float32 weights; of 8 bits the result is truncated towards zero.

    At 16 bits there is no integer operator: the runtime dequantizes, and the result is rounded half to even.
    """
    mode, name, x = context.attrs["coordinate_transformation_mode"], context.layer.name, context.input()
    taps = {axis: linear_taps(shape[axis], sizes[axis], scales[axis], mode, name) for axis in axes}
    change = ScaleChange(context) if x.dtype.bits == 8 else None
    ratio = _F32(x.scale) / _F32(context.out.scale)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        parts = [(inputs[0].astype(_F32), np.ones((), _F32))]
        for axis, (lower, upper, fraction) in taps.items():
            # Where both taps are the last pixel the runtime weighs them half and half.
            weight = np.where(lower == upper, _F32(0.5), fraction).reshape((-1,) + (1,) * (len(shape) - 1 - axis))
            low, high = (_F32(1.0) - weight), weight
            parts = [
                (values.take(index, axis=axis), factor * side)
                for values, factor in parts
                for index, side in ((lower, low), (upper, high))
            ]
        total = sum((values * factor for values, factor in parts[1:]), parts[0][0] * parts[0][1])
        if change is None:
            centred = np.asarray(total) - _F32(x.zero_point)
            return [_saturated(centred * ratio + _F32(context.out.zero_point), context)]
        return [change(np.trunc(np.asarray(total)).astype(x.dtype.numpy))]

    return Compiled(kernel)
