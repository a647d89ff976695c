"""Convolution and transposed convolution: exact sums over windows, then the requantization of the rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.plan import QWeight
from slimai.simulator.accumulate import accumulator, exact_dtype, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.layout import four_pads, from_nhwc, is_channels_last, pair, to_nhwc
from slimai.simulator.requantize import TFLITE_DENSE, Requantizer, real_multiplier
from slimai.simulator.rows import RowRequantizer

_TILE_ELEMENTS = 1 << 17


@dataclass(frozen=True, eq=False)
class Window:
    """Geometry of a convolution: (vertical, horizontal) each; pads are top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the output's height and width."""
        top, left, bottom, right = self.pads
        spans = [(size - 1) * dilation + 1 for size, dilation in zip(self.kernel, self.dilations, strict=True)]
        return (
            (height + top + bottom - spans[0]) // self.strides[0] + 1,
            (width + left + right - spans[1]) // self.strides[1] + 1,
        )

    @property
    def pointwise(self) -> bool:
        """Whether it is a product of the channels of each pixel alone."""
        return self.kernel == (1, 1) and self.strides == (1, 1) and not any(self.pads)


def weight_values(weight: QWeight) -> NDArray[np.int64]:
    """Return the integers of a weight minus its zero point (0 but for stored asymmetric TFLite weights)."""
    return weight.values.astype(np.int64) - weight.zero_point


def layer_weight(context: LayerContext) -> QWeight:
    """Return the layer's weight; the planner gives every integer layer of these operators one."""
    if context.layer.weight is None:
        raise ValueError(f"{context.layer.name}: the plan has no integer weight for this layer")
    return context.layer.weight


def matrix_requantizer(context: LayerContext, weight_scale: Any) -> Requantizer:
    """Return the requantizer of M = s_x * s_w / s_y per output channel.

    TFLite's recipe: with uint8 inputs and one weight scale the two input scales are multiplied in float32, else
    in float64; fully connected layers of 8-bit weights requantize in float64.
    """
    x, rule = context.input(), context.rule
    scale = np.atleast_1d(np.asarray(weight_scale, np.float64))
    dense = context.layer.node.op in {"Gemm", "MatMul"} and layer_weight(context).dtype.bits == 8
    if rule.recipe == "tflite" and dense:
        context = context.under(TFLITE_DENSE)
    elif rule.recipe == "tflite" and scale.size == 1 and x.dtype.name == "u8":
        product = np.float64(np.float32(x.scale) * np.float32(scale[0]))
        return context.requantizer_of(np.array([product / context.out.scale]))
    return context.requantizer_of(real_multiplier(rule, (x.scale, scale), context.out.scale))


class ConvKernel:
    """Runs a convolution of weights [O, C / group, KH, KW] on [N, H, W, C] integers."""

    def __init__(self, context: LayerContext, values: NDArray[np.int64], window: Window, group: int) -> None:
        outputs = values.shape[0]
        self.window, self.group = window, group
        self.zero = np.int32(context.input().zero_point)
        self.out_dtype = context.out.dtype.numpy
        weight_sum = np.abs(values).reshape(outputs, -1).sum(axis=1, dtype=np.int64)
        reach = float((weight_sum * largest(context.input())).max(initial=0))
        bias = np.zeros(outputs, np.int64) if context.layer.bias is None else context.layer.bias
        whole = float((weight_sum * largest(context.input()) + np.abs(bias)).max(initial=0))
        self.requantizer = matrix_requantizer(context, layer_weight(context).scale)
        self.rows = RowRequantizer(self.requantizer, bias, accumulator(context, whole), outputs)
        self.depthwise = group > 1 and values.shape[1] == 1
        if self.depthwise:
            self.dtype = np.dtype(np.int32 if reach < float(1 << 31) else np.float64)
            self.repeat = outputs // group
            self.taps = np.ascontiguousarray(values[:, 0].transpose(1, 2, 0).astype(self.dtype))
        else:
            self.dtype = exact_dtype(reach)
            grouped = values.reshape(group, outputs // group, *values.shape[1:]).transpose(0, 3, 4, 2, 1)
            self.matrices = np.ascontiguousarray(grouped.reshape(group, -1, outputs // group).astype(self.dtype))
        self.outputs = outputs

    def __call__(self, x: Array, tally: Tally) -> Array:
        """Return [N, OH, OW, O] output integers of x [N, H, W, C]."""
        height, width = self.window.output(x.shape[1], x.shape[2])
        out = np.empty((x.shape[0], height, width, self.outputs), self.out_dtype)
        if self.depthwise and self.repeat > 1:
            x = np.repeat(x, self.repeat, axis=3)
        for picture, target in zip(x, out, strict=True):
            rows = max(1, _TILE_ELEMENTS // max(1, width * self._row_elements(x.shape[3])))
            for first in range(0, height, rows):
                tile = target[first : first + rows]
                acc = self._depthwise(picture, first, tile) if self.depthwise else self._matrix(picture, first, tile)
                self.rows(acc, tile.reshape(-1, self.outputs), tally)
        return out

    def _row_elements(self, channels: int) -> int:
        return int(max(self.outputs, self.window.kernel[0] * self.window.kernel[1] * channels // self.group))

    def _depthwise(self, picture: Array, first: int, tile: Array) -> Array:
        from slimai.simulator._kernels_conv import depthwise_rows

        acc = np.empty(tile.shape, self.dtype)
        window = self.window
        depthwise_rows(picture, self.zero, self.taps, first, window.strides, window.dilations, window.pads[:2], acc)
        return acc.reshape(-1, self.outputs)

    def _matrix(self, picture: Array, first: int, tile: Array) -> Array:
        width = tile.shape[1]
        acc = np.empty((tile.shape[0] * width, self.outputs), self.dtype)
        share, depth = self.outputs // self.group, picture.shape[2] // self.group
        for index, matrix in enumerate(self.matrices):
            part = picture[:, :, index * depth : (index + 1) * depth]
            columns = self._columns(part, first, tile.shape[0], width, matrix.shape[0])
            acc[:, index * share : (index + 1) * share] = columns @ matrix
        return acc

    def _columns(self, part: Array, first: int, rows: int, width: int, depth: int) -> Array:
        from slimai.simulator._kernels_conv import gather_windows

        window = self.window
        cols = np.empty((rows * width, depth), self.dtype)
        gather_windows(
            part, self.zero, first, rows, width, window.kernel, window.strides, window.dilations, window.pads[:2], cols
        )
        return cols


def compile_conv(context: LayerContext) -> Compiled:
    """Return the kernel of a 1-D or 2-D convolution, any groups, strides, pads and dilations."""
    attrs, weight = context.attrs, layer_weight(context)
    values = weight_values(weight)
    if values.ndim == 3:
        values = values[:, :, None]
    window = Window(
        (values.shape[2], values.shape[3]),
        pair(attrs["strides"], 1),
        pair(attrs["dilations"], 1),
        four_pads(attrs["pads"]),
    )
    conv = ConvKernel(context, values, window, int(attrs["group"]))
    return _compiled(context, conv, stretch=None)


def _compiled(context: LayerContext, conv: ConvKernel, stretch: tuple[int, int] | None) -> Compiled:
    channels_last, rank = is_channels_last(context), len(context.graph.shape(context.layer.outputs[0]))
    zero = context.input().zero_point

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        x = to_nhwc(inputs[0], channels_last)
        if stretch is not None:
            x = _with_gaps(x, stretch, zero)
        return [from_nhwc(conv(x, tally), rank, channels_last)]

    bias = {} if context.layer.bias is None else {"bias": context.layer.bias}
    return Compiled(kernel, {"weight": layer_weight(context).values, **bias, **conv.requantizer.table()})


def compile_convtranspose(context: LayerContext) -> Compiled:
    """Return the kernel of a transposed convolution: a convolution of the input with gaps between its pixels."""
    attrs, weight = context.attrs, layer_weight(context)
    values, group = weight_values(weight), int(attrs["group"])
    if values.ndim == 3:
        values = values[:, :, None]
    kernel, strides = (values.shape[2], values.shape[3]), pair(attrs["strides"], 1)
    dilations, extra = pair(attrs["dilations"], 1), pair(attrs.get("output_padding", (0,)), 0)
    top, left, bottom, right = four_pads(attrs["pads"])
    span = [(size - 1) * dilation for size, dilation in zip(kernel, dilations, strict=True)]
    pads = (span[0] - top, span[1] - left, span[0] - bottom + extra[0], span[1] - right + extra[1])
    inputs, share = values.shape[0], values.shape[1]
    # [C, O / group, KH, KW] -> [O, C / group, KH, KW], kernel turned by 180 degrees.
    turned = values.reshape(group, inputs // group, share, *kernel).transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
    conv = ConvKernel(
        context,
        np.ascontiguousarray(turned.reshape(group * share, inputs // group, *kernel)),
        Window(kernel, (1, 1), dilations, pads),
        group,
    )
    return _compiled(context, conv, stretch=strides)


def _with_gaps(x: Array, strides: tuple[int, int], zero: int) -> Array:
    """Return [N, (H - 1) * sy + 1, (W - 1) * sx + 1, C] with the zero point between the pixels of x."""
    if strides == (1, 1):
        return x
    count, height, width, channels = x.shape
    shape = (count, (height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1, channels)
    spread = np.full(shape, zero, x.dtype)
    spread[:, :: strides[0], :: strides[1]] = x
    return spread
