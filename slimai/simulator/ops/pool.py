"""Pooling and means: sums over windows with 1/n folded into the multiplier, or the rule's own recipe."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int, multiply_by_quantized_multiplier, quantize_multiplier
from slimai.simulator.layout import from_nhwc, is_channels_last, keeps_integers, near_and_far, places, to_nhwc
from slimai.simulator.lookup import look_up
from slimai.simulator.ops.clamp import scale_change
from slimai.simulator.ops.onnxruntime_float import float_mean, float_window_mean
from slimai.simulator.requantize import GEMMLOWP, Requantizer
from slimai.simulator.rows import FlatRequantizer

_PICTURES = 4  # axes of images, rows, columns and channels


@dataclass(frozen=True)
class _Geometry:
    """Of a pool, along each axis of space: kernel, strides, dilations, pads at the near and far side, output size."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    near: tuple[int, ...]
    far: tuple[int, ...]
    out: tuple[int, ...]


def _geometry(context: LayerContext) -> _Geometry:
    attrs, spatial = context.attrs, _space(context, context.layer.outputs[0])
    dilations = places(attrs.get("dilations", (1,) * len(attrs["kernel_shape"])), 1)
    near, far = near_and_far(attrs["pads"])
    return _Geometry(places(attrs["kernel_shape"], 1), places(attrs["strides"], 1), dilations, near, far, spatial)


def _space(context: LayerContext, tensor: str) -> tuple[int, ...]:
    shape = context.graph.shape(tensor)
    return places(shape[1:-1] if is_channels_last(context) else shape[2:], 1)


def _taps(x: Array, context: LayerContext, fill: int) -> Any:
    """Yield views of x [N, ..., C] of the output's size, one for each tap of the window, `fill` outside the picture."""
    g = _geometry(context)
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(g.out, g.strides, g.kernel, g.dilations, strict=True)]
    # ceil_mode may reach beyond the declared padding: enough is added at the far side.
    sides = zip(g.near, g.far, reach, x.shape[1:-1], strict=True)
    pads = [(near, max(far, need - size - near, 0)) for near, far, need, size in sides]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    for tap in itertools.product(*map(range, g.kernel)):
        firsts = [place * d for place, d in zip(tap, g.dilations, strict=True)]
        cut = [slice(first, first + (n - 1) * s + 1, s) for first, n, s in zip(firsts, g.out, g.strides, strict=True)]
        yield padded[:, *cut]


def _maxima(x: Array, context: LayerContext, g: _Geometry, least: int) -> Array:
    """Return the largest integers of the windows of x [N, H, W, C]."""
    from slimai.simulator._kernels_pool import window_maxima  # noqa: PLC0415 - spares numba

    out = context.pool.empty((x.shape[0], *g.out, x.shape[3]), x.dtype)
    window_maxima(x, x.dtype.type(least), g.kernel, g.strides, g.dilations, g.near, out)
    return out


def _sums(x: Array, context: LayerContext, g: _Geometry) -> Array:
    """Return the sums of x - z_x over the windows of x [N, H, W, C], int32."""
    from slimai.simulator._kernels_pool import window_sums  # noqa: PLC0415 - spares numba

    acc = context.pool.empty((x.shape[0], *g.out, x.shape[3]), np.int32)
    zero = np.int32(context.input().zero_point)
    window_sums(x, zero, g.kernel, g.strides, g.dilations, g.near, acc)
    return acc


def compile_maxpool(context: LayerContext) -> Compiled:
    """Return the kernel of a max pooling; the winner is brought to the output's scale where that differs."""
    channels_last, rank = is_channels_last(context), len(context.graph.shape(context.layer.outputs[0]))
    low, high = context.limits
    table = np.clip(scale_change(context), low, high).astype(context.out.dtype.numpy)
    geometry = _geometry(context)
    first, tied = context.input().dtype.low, keeps_integers(context) and context.layer.activation is None

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        x = to_nhwc(inputs[0], channels_last)
        if x.ndim == _PICTURES:
            largest_of = _maxima(x, context, geometry, first)
            return [from_nhwc(largest_of if tied else look_up(largest_of, first, table), rank, channels_last)]
        best: Array | None = None
        for tap in _taps(x, context, first):
            best = tap.copy() if best is None else np.maximum(best, tap, out=best)
        found = np.ascontiguousarray(best)
        return [from_nhwc(found if tied else look_up(found, first, table), rank, channels_last)]

    return Compiled(kernel)


def window_counts(context: LayerContext) -> Int:
    """Return the number of pixels each window averages over, [1, OH, OW, 1] ([1, OD, OH, OW, 1] of three axes).

    Padding counts only with count_include_pad, and then only as far as declared (not what ceil_mode adds).
    """
    total = np.ones((), np.int64)
    for counts in axis_counts(context):
        total = total[..., None] * counts
    return total[None, ..., None]


def axis_counts(context: LayerContext) -> list[Int]:
    """Return the numbers whose product `window_counts` is: of places along each axis of space, for every output."""
    sizes, g = _space(context, context.layer.node.inputs[0]), _geometry(context)
    padded = bool(context.attrs.get("count_include_pad", 0))
    found = []
    for size, n, s, k, d, near, far in zip(sizes, g.out, g.strides, g.kernel, g.dilations, g.near, g.far, strict=True):
        places = np.arange(n)[:, None] * s - near + np.arange(k) * d
        low, high = (-near, size + far) if padded else (0, size)
        found.append(((places >= low) & (places < high)).sum(axis=1))
    return found


def compile_averagepool(context: LayerContext) -> Compiled:
    """Return the kernel of an average pooling."""
    channels_last, rank = is_channels_last(context), len(context.graph.shape(context.layer.outputs[0]))
    x, counts = context.input(), window_counts(context)
    if context.rule.recipe == "ort":
        return _float_averagepool(context, counts)
    finish, geometry = WindowMean(context, counts), _geometry(context)
    dtype = np.int32 if finish.bound < float(1 << 31) else np.int64

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        images = to_nhwc(inputs[0], channels_last)
        if images.ndim == _PICTURES and dtype == np.int32:
            return [from_nhwc(finish(_sums(images, context, geometry), tally), rank, channels_last)]
        total: Array | None = None
        for tap in _taps(images, context, x.zero_point):
            part = tap.astype(dtype)
            total = part if total is None else np.add(total, part, out=total)
        kernel_size = math.prod(geometry.kernel)
        sums = np.asarray(total) - dtype(kernel_size * x.zero_point)
        return [from_nhwc(finish(sums, tally), rank, channels_last)]

    return Compiled(kernel)


def _float_averagepool(context: LayerContext, counts: Int) -> Compiled:
    """Sums of s_x * (x - z_x) in float32, tap by tap, as ONNX Runtime adds them.

    With count_include_pad it divides by the whole kernel, also where ceil_mode reaches beyond the padding.
    """
    channels_last, rank = is_channels_last(context), len(context.graph.shape(context.layer.outputs[0]))
    x = context.input()
    if context.attrs.get("count_include_pad", 0):
        counts = np.array(math.prod(_geometry(context).kernel))

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        total = np.float32(0.0)
        for tap in _taps(to_nhwc(inputs[0], channels_last), context, x.zero_point):
            total = total + np.float32(x.scale) * (tap.astype(np.int64) - x.zero_point).astype(np.float32)
        return [from_nhwc(float_window_mean(context, np.asarray(total), counts), rank, channels_last)]

    return Compiled(kernel)


class WindowMean:
    """Turns sums of (x - z_x) [N, OH, OW, C] into output integers, by the recipe of the rule."""

    def __init__(self, context: LayerContext, counts: Int) -> None:
        self.context, self.counts = context, np.asarray(counts)
        self.bound = float(int(self.counts.max()) * largest(context.input()))
        self.accumulator = accumulator(context, self.bound)
        self.sizes = np.unique(self.counts)
        recipe, tied = context.rule.recipe, keeps_integers(context)
        self.rounded = recipe == "tflite" and tied and not context.attrs.get("count_include_pad", 0)
        if recipe == "tflite":
            context = context.under(GEMMLOWP)
        x = context.input()
        self.requantizers = {} if self.rounded else {
            int(n): context.requantizer_of(np.array([x.scale / (context.out.scale * float(n))])) for n in self.sizes
        }  # fmt: skip
        (only,) = self.requantizers.values() if len(self.requantizers) == 1 else (None,)
        self.flat = None if only is None else FlatRequantizer(only, self.accumulator)

    def __call__(self, sums: Array, tally: Tally) -> Array:
        """Return the output integers of sums of (x - z_x) over windows."""
        if self.flat is not None:
            return self.flat(sums, tally)
        sums = self.accumulator.limit(sums, tally).astype(np.int64)
        if self.rounded:
            return self._rounded_division(sums)
        result = np.empty(sums.shape, self.context.out.dtype.numpy)
        for size, requantizer in self.requantizers.items():
            where = np.broadcast_to(self.counts == size, sums.shape)
            result[where] = requantizer.exact(sums[where])
        return result

    def _rounded_division(self, sums: Int) -> Array:
        """TFLite: the plain sum (zero points included) over n; half away from zero, half up for uint8."""
        out, (low, high) = self.context.out, self.context.limits
        total = sums + self.counts * out.zero_point
        half = self.counts // 2
        down = np.where(total > 0, total + half, total - half)
        quotient = np.sign(down) * (np.abs(down) // self.counts)
        return np.clip(quotient, low, high).astype(out.dtype.numpy)


def compile_globalaveragepool(context: LayerContext) -> Compiled:
    """Return the kernel of a mean over all spatial axes."""
    rank = len(context.graph.shape(context.layer.node.inputs[0]))
    axes = tuple(range(1, rank - 1)) if is_channels_last(context) else tuple(range(2, rank))
    return _mean_over(context, axes, keepdims=True)


def compile_reducemean(context: LayerContext) -> Compiled:
    """Return the kernel of a mean over `axes`."""
    return _mean_over(context, tuple(context.attrs["axes"]), keepdims=bool(context.attrs.get("keepdims", 1)))


def _mean_over(context: LayerContext, axes: tuple[int, ...], *, keepdims: bool) -> Compiled:
    shape, x = context.graph.shape(context.layer.node.inputs[0]), context.input()
    size = int(np.prod([shape[axis] for axis in axes]))
    limit = accumulator(context, float(size * largest(x)))
    finish = _mean_tail(context, size)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        sums = inputs[0].sum(axis=axes, dtype=np.int64, keepdims=keepdims) - size * x.zero_point
        return [finish(limit.limit(sums, tally))]

    return Compiled(kernel)


def _mean_tail(context: LayerContext, size: int) -> Any:
    if context.rule.recipe == "ort":
        return lambda sums: float_mean(context, sums, size)
    if context.rule.recipe == "tflite":
        return lambda sums: tflite_mean(context, sums, size)
    return mean_requantizer(context, size).exact


def mean_requantizer(context: LayerContext, size: int) -> Requantizer:
    """Return the requantizer of a sum over `size` places, of the recipes that divide within the multiplier."""
    return context.requantizer_of(np.array([context.input().scale / (context.out.scale * float(size))]))


def tflite_mean(context: LayerContext, sums: NDArray[Any], size: int) -> Array:
    """Return TFLite's MEAN: the 31-bit multiplier of s_x / s_y divided by n after a shift left by log2 n."""
    out, (low, high) = context.out, context.limits
    raw = multiply_by_quantized_multiplier(sums, *tflite_mean_tables(context, size))
    return np.clip(raw + out.zero_point, low, high).astype(out.dtype.numpy)


def tflite_mean_tables(context: LayerContext, size: int) -> tuple[Int, Int]:
    """Return (multiplier, exponent) of `tflite_mean`, [1] each."""
    q31, exponent = quantize_multiplier(np.array([context.input().scale / context.out.scale]))
    shift = min(int(size).bit_length() - 1, 32, 31 + int(exponent[0]))
    return (q31 << shift) // size, exponent - shift
