"""Resize: nearest copies by lists of places; linear weighs by the rule's recipe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from slimai.codegen.layers.move import AXES, axis_lists, joined, write_lists
from slimai.codegen.layers.pointwise import changes, write_change
from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.accumulate import largest
from slimai.simulator.context import Array
from slimai.simulator.ops.resize import weight_bits
from slimai.simulator.ops.resize_taps import linear_taps, nearest_index
from slimai.simulator.ops.tflite_resize import float_taps, positions, tflite_places


def write_resize(writer: LayerWriter) -> None:
    """Write a resize over any axes but the batch."""
    context, attrs = writer.context, writer.context.attrs
    shape, sizes = writer.shape(writer.layer.node.inputs[0]), writer.shape(writer.layer.outputs[0])
    scales = attrs.get("scales") or tuple(o / i for o, i in zip(sizes, shape, strict=True))
    axes = [axis for axis in range(1, len(shape)) if sizes[axis] != shape[axis] or scales[axis] != 1.0]
    mode, name = attrs["coordinate_transformation_mode"], context.layer.name
    if attrs["mode"] == "nearest":
        rounding = attrs.get("nearest_mode", "round_prefer_floor")
        lists = {axis: nearest_index(shape[axis], sizes[axis], scales[axis], mode, rounding, name) for axis in axes}
        write_lists(writer, lists, context)
        return
    found = tflite_places(context, axes, shape, sizes, scales) if context.rule.recipe == "tflite" else None
    if found is not None:
        _tflite(writer, *found)
        return
    taps = {axis: linear_taps(shape[axis], sizes[axis], scales[axis], mode, name) for axis in axes}
    _fixed(writer, taps)


@dataclass(frozen=True)
class _Axis:
    """Places of the lower and upper elements along an axis, times the stride; the weight of the upper, of `unit`."""

    lower: Array
    upper: Array
    weight: Array
    unit: int = 1

    def joined(self, inner: _Axis) -> _Axis:
        """Return this axis and the next one, of which one at most is resized, as one."""
        weights = np.repeat(self.weight, len(inner.weight)) + np.tile(inner.weight, len(self.weight))
        unit = self.unit * inner.unit
        return _Axis(joined(self.lower, inner.lower), joined(self.upper, inner.upper), weights, unit)


def _axes(writer: LayerWriter, taps: dict[int, tuple[Array, Array, Array]]) -> list[_Axis]:
    """Return four axes in memory order, those that stay joined to their neighbours where there are more."""
    unit, order = 1 << weight_bits(len(taps), writer.context.input().dtype.bits), writer.orders[writer.layer.inputs[0]]
    places = [axis_lists(writer, {axis: item[part] for axis, item in taps.items()}, merge=False) for part in (0, 1)]
    found = []
    for axis, lower, upper in zip(order, *places, strict=True):
        if axis in taps:
            found.append(_Axis(lower, upper, np.rint(taps[axis][2] * np.float32(unit)).astype(np.int64), unit))
        else:
            found.append(_Axis(lower, upper, np.zeros(len(lower), np.int64)))
    while len(found) > AXES:
        ends = [
            (len(first.lower) * len(second.lower), at)
            for at, (first, second) in enumerate(pairwise(found)) if 1 in {first.unit, second.unit}
        ]  # fmt: skip
        at = min(ends)[1]
        found[at : at + 2] = [found[at].joined(found[at + 1])]
    none = np.zeros(1, np.int64)
    return [_Axis(none, none, none)] * (AXES - len(found)) + found


def _fixed(writer: LayerWriter, taps: dict[int, tuple[Array, Array, Array]]) -> None:
    """Write the weights of fixed point along the axes in memory."""
    context, x, name = writer.context, writer.context.input(), writer.layer.inputs[0]
    unit = 1 << weight_bits(len(taps), writer.context.input().dtype.bits)
    limit = writer.accumulator(float(largest(x) * unit ** len(taps)))
    real = np.array([x.scale / (context.out.scale * float(unit ** len(taps)))])
    source, target = writer.input(name), writer.output()
    axes = _axes(writer, taps)
    size = writer.struct("int32_t @[4]", [len(item.lower) for item in axes], "size")
    whole = writer.struct("int32_t @[4]", [item.unit for item in axes], "unit")
    lists = [
        _list(writer, "int32_t", "lower", [item.lower for item in axes]),
        _list(writer, "int32_t", "upper", [item.upper for item in axes]),
        _list(writer, "int16_t", "weight", [item.weight for item in axes]),
    ]
    table, rule = writer.tables(context.requantizer_of(real), limit)
    writer.call(
        "resize_linear", [source, size, whole, *lists, x.zero_point, table, target], rule=rule,
        x_t=params_type(x), y_t=params_type(context.out),
    )  # fmt: skip


def _list(writer: LayerWriter, c_type: str, what: str, arrays: list[Array]) -> str:
    """Return the name of a local list of pointers to constant arrays."""
    named = [writer.constant(f"{what}{number}", item, c_type) for number, item in enumerate(arrays)]
    return writer.struct(f"{c_type} *const @[{len(named)}]", named, what, fixed=not writer.constants.as_file)


def _tflite(writer: LayerWriter, spatial: list[int], align: bool, half: bool) -> None:
    context, x = writer.context, writer.context.input()
    name, output = writer.layer.inputs[0], writer.layer.outputs[0]
    shape, sizes = writer.shape(name), writer.shape(output)
    (channel,) = {1, 2, 3} - set(spatial)
    order = (0, *spatial, channel)
    kind, count = params_type(x), writer.count(output)
    source, y = writer.input(name, order), writer.output(order=order)
    target = writer.scratch(kind, count) if changes(context) else y
    taken = float_taps if x.dtype.name == "u8" else positions
    taps = [taken(shape[axis], sizes[axis], align=align, half=half) for axis in spatial]
    size = writer.struct("int32_t @[3]", [*(sizes[axis] for axis in spatial), sizes[channel]], "size")
    lists = [
        _list(writer, "uint16_t", what, [tap[part] for tap in taps]) for part, what in enumerate(("lower", "upper"))
    ]
    if x.dtype.name == "u8":
        upper = [np.asarray(tap[2], np.float32) for tap in taps]
        words = [item.view(np.uint32) for item in (*upper, *(np.float32(1.0) - item for item in upper))]
        weights = _list(writer, "uint32_t", "weight", words)
    else:
        weights = _list(writer, "int16_t", "weight", [tap[2] for tap in taps])
    kernel = "resize_float" if x.dtype.name == "u8" else "resize_tflite"
    read, write = writer.pictures(source, target)
    writer.call_by_picture(kernel, [read, size, shape[spatial[1]], *lists, weights, write], x_t=kind)
    if target != y:
        write_change(writer, context, target, y, count)
