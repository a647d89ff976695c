"""Tables of a layer that its kernel makes on the way, for the file of integers: what a device would store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ops import TRAITS
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import quantize_multiplier
from slimai.simulator.layout import is_channels_last
from slimai.simulator.ops.clamp import prelu_requantizers
from slimai.simulator.ops.elementwise import squared_difference_scale, tflite_sum_scale
from slimai.simulator.ops.move import carried_tables, carry_table, pad_value
from slimai.simulator.ops.pool import WindowMean, mean_requantizer, tflite_mean_tables, window_counts
from slimai.simulator.ops.resize import linear_tables, nearest_tables
from slimai.simulator.ops.softmax import exponentials
from slimai.simulator.ops.tflite_softmax import Tflite8, exponentials8, tflite_parameters

Array = NDArray[Any]
Tables = dict[str, Array]


def further_tables(context: LayerContext) -> Tables:
    """Return the tables by name, of layers that have any. Under ``ort_f32`` there are constants alone."""
    layer = context.layer
    found = {f"operand_{place}": values for place, (values, _) in layer.operands.items()}
    if layer.weight is not None:
        found |= {"weight": layer.weight.values, "weight_scale": layer.weight.scale}
    if context.rule.recipe == "ort" or layer.kind == "Requantize":
        return found
    own = _OF_OPERATOR.get(layer.node.op)
    if own is not None:
        return found | own(context)
    if TRAITS[layer.node.op].view or layer.node.op in _MOVES:
        return found | _moved(context)
    return found


def _moved(context: LayerContext) -> Tables:
    """Return `table_<place>`: what the integers of an operand become, where its grid is not the output's."""
    named = enumerate(carried_tables(context))
    return {f"table_{place}": table for place, table in named if table is not None}


def _one_moved(context: LayerContext) -> Tables:
    """Return `table_<place>` of each output of a layer that reads one activation."""
    source, names = context.layer.inputs[0], [name for name in context.layer.outputs if name in context.tensors]
    made = [carry_table(context, source, name) for name in names]
    return {f"table_{place}": table for place, table in enumerate(made) if table is not None}


def _pad(context: LayerContext) -> Tables:
    value = pad_value(float(context.attrs.get("value", 0.0)), context.input())
    return {"fill": np.array([value]), **_one_moved(context)}


def _average(context: LayerContext) -> Tables:
    """Return the requantization by the number of pixels in a window: `window` has these numbers."""
    mean = WindowMean(context, window_counts(context))
    if mean.rounded:
        return {"window": mean.sizes}
    each = [mean.requantizers[int(size)].table() for size in mean.sizes]
    return {"window": mean.sizes, **{name: np.concatenate([item[name] for item in each]) for name in each[0]}}


def _mean(context: LayerContext) -> Tables:
    shape = context.graph.shape(context.layer.node.inputs[0])
    space = range(1, len(shape) - 1) if is_channels_last(context) else range(2, len(shape))
    axes = tuple(context.attrs.get("axes", space))
    size = int(np.prod([shape[axis] for axis in axes]))
    if context.rule.recipe != "tflite":
        return mean_requantizer(context, size).table()
    multiplier, exponent = tflite_mean_tables(context, size)
    return {"multiplier": multiplier, "shift": exponent}


def _sum(context: LayerContext) -> Tables:
    """Return T31's multipliers of TFLite's sum: of both operands and of the result."""
    if context.rule.recipe != "tflite":
        return {}
    return _rescaled(context, *tflite_sum_scale(context))


def _squared_difference(context: LayerContext) -> Tables:
    """Return T31's multipliers of both operands; that of the result is the layer's own."""
    return _rescaled(context, *squared_difference_scale(context))


def _rescaled(context: LayerContext, left: int, double: float) -> Tables:
    scales = np.array([context.input(0).scale, context.input(1).scale]) / double
    multiplier, exponent = quantize_multiplier(scales)
    return {"operand_multiplier": multiplier, "operand_shift": exponent, "left_shift": np.array([left])}


def _slopes(context: LayerContext) -> Tables:
    """Return the requantization of negative values; that of the others is the layer's own."""
    return {f"negative_{name}": table for name, table in prelu_requantizers(context)[1].table().items()}


def _softmax(context: LayerContext) -> Tables:
    """Return the exponentials by distance from the largest, without the zeros at their end, and R."""
    x, out = context.input(), context.out
    depth = context.graph.shape(context.layer.outputs[0])[int(context.attrs["axis"])]
    if context.rule.recipe == "tflite":
        interpolated = bool(context.attrs.get("interpolated", 0))
        kernel = tflite_parameters(x, out, depth, interpolated=interpolated)
        if isinstance(kernel, Tflite8):
            return {"exponentials": exponentials8(kernel)}
        if kernel is not None:
            own = {"multiplier": np.array([kernel.multiplier]), "shift": np.array([kernel.exponent])}
            return {**own, "exp_knots": kernel.exp_knots, "inverse_knots": kernel.inverse_knots}
    powers = exponentials(x, depth)
    return {"exponentials": np.trim_zeros(powers, "b"), "fraction": np.array([int(np.rint(256.0 / out.scale))])}


def _resize(context: LayerContext) -> Tables:
    if context.attrs["mode"] == "nearest":
        return {**nearest_tables(context), **_one_moved(context)}
    tables, own = linear_tables(context)
    return {**tables, **_one_moved(context)} if own else tables


_MOVES = ("Concat", "ScatterND")
_OF_OPERATOR: dict[str, Callable[[LayerContext], Tables]] = {
    **dict.fromkeys(("MaxPool", "ReduceMax", "ReduceMin", "Split", "Slice", "Reshape", "Transpose"), _one_moved),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "Gather", "Tile"), _one_moved),
    "Pad": _pad,
    "AveragePool": _average,
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean"), _mean),
    **dict.fromkeys(("Add", "Sub"), _sum),
    "SquaredDifference": _squared_difference,
    "PRelu": _slopes,
    "Softmax": _softmax,
    "Resize": _resize,
}
