"""Convolution and transposed convolution: exact sums over windows, then the requantization of the rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.quantizer.plan import QWeight
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.convolution import Convolution
from slimai.simulator.layout import as_nhwc, four_pads, from_nhwc, is_channels_last, pair, to_nhwc
from slimai.simulator.requantize import TFLITE_DENSE, Requantizer, real_multiplier
from slimai.simulator.transposed import TransposedConvolution
from slimai.simulator.volumes import Depth, plane, transposed_weights
from slimai.simulator.weight_forms import ConvWeights, image_weights, weight_values
from slimai.simulator.windows import Window


def layer_weight(context: LayerContext) -> QWeight:
    """Return the layer's weight; the planner gives every integer layer of these operators one."""
    if context.layer.weight is None:
        raise ValueError(f"{context.layer.name}: the plan has no integer weight for this layer")
    return context.layer.weight


def matrix_requantizer(context: LayerContext, weight_scale: Any) -> Requantizer:
    """Return the requantizer of M = s_x * s_w / s_y per output channel.

    TFLite's recipe: with uint8 inputs and one weight scale the two input scales are multiplied in float32, else
    in float64; fully connected layers of 8-bit weights, or smaller ones, requantize in float64.
    """
    x, rule = context.input(), context.rule
    scale = np.atleast_1d(np.asarray(weight_scale, np.float64))
    dense = context.layer.node.op in {"Gemm", "MatMul"} and layer_weight(context).dtype.bits <= 8
    if rule.recipe == "tflite" and dense:
        context = context.under(TFLITE_DENSE)
    elif rule.recipe == "tflite" and scale.size == 1 and x.dtype.name == "u8":
        product = np.float64(np.float32(x.scale) * np.float32(scale[0]))
        return context.requantizer_of(np.array([product / context.out.scale]))
    return context.requantizer_of(real_multiplier(rule, (x.scale, scale), context.out.scale))


def compile_conv(context: LayerContext) -> Compiled:
    """Return the kernel of a convolution over one to three axes, any groups, strides, pads and dilations."""
    attrs, weight = context.attrs, layer_weight(context)
    weights = ConvWeights.of(weight, int(attrs["group"]))
    depth = Depth.of(weight.values.shape[2], attrs) if weight.values.ndim == 5 else None
    flat = attrs if depth is None else plane(attrs)
    window = Window(
        weights.kernel,
        pair(flat["strides"], 1),
        pair(flat["dilations"], 1),
        four_pads(flat["pads"]),
    )
    conv = Convolution(context, weights, window, int(attrs["group"]), matrix_requantizer(context, weight.scale))
    return _compiled(context, conv, depth)


def _compiled(context: LayerContext, conv: Convolution | TransposedConvolution, depth: Depth | None) -> Compiled:
    channels_last, rank = is_channels_last(context), len(context.graph.shape(context.layer.outputs[0]))

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        if depth is None:
            return [from_nhwc(conv(as_nhwc(inputs[0], channels_last), tally), rank, channels_last)]
        x = to_nhwc(inputs[0], channels_last)
        pictures, count = depth.unrolled(x, context.input().zero_point)
        y = conv(pictures, tally)
        return [from_nhwc(y.reshape(-1, count, *y.shape[1:]), rank, channels_last)]

    bias = {} if context.layer.bias is None else {"bias": context.layer.bias}
    return Compiled(kernel, {"weight": layer_weight(context).values, **bias, **conv.requantizer.table()})


def compile_convtranspose(context: LayerContext) -> Compiled:
    """Return the kernel of a transposed convolution over one to three axes."""
    attrs, weight, depth = context.attrs, layer_weight(context), None
    if weight.values.ndim == 5:
        depth = Depth.of_transposed(weight.values.shape[2], attrs)
        values, attrs = transposed_weights(weight_values(weight)), plane(attrs)
    else:
        values = image_weights(weight)
    kernel, strides = (values.shape[2], values.shape[3]), pair(attrs["strides"], 1)
    dilations, extra = pair(attrs["dilations"], 1), pair(attrs.get("output_padding", (0,)), 0)
    window = Window(kernel, strides, dilations, four_pads(attrs["pads"]))
    group = int(attrs["group"])
    conv = TransposedConvolution(context, values, window, extra, group, matrix_requantizer(context, weight.scale))
    return _compiled(context, conv, depth)
