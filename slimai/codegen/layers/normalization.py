"""Normalizations of rows by their mean and variance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.constants import smallest
from slimai.codegen.layouts import identity
from slimai.codegen.writer import LayerWriter, params_type
from slimai.simulator.ops.normalization import row_scale

Array = NDArray[Any]


def write_layernormalization(writer: LayerWriter) -> None:
    """Write a layer normalization: rows are all axes from `axis` on."""
    axis = int(writer.context.attrs["axis"])
    _normalized(writer, tuple(range(axis, len(writer.shape(writer.layer.inputs[0])))), by_place=True)


def write_instancenormalization(writer: LayerWriter) -> None:
    """Write an instance normalization: rows are the planes of channels."""
    _normalized(writer, tuple(range(2, len(writer.shape(writer.layer.inputs[0])))), by_place=False)


def _normalized(writer: LayerWriter, axes: tuple[int, ...], *, by_place: bool) -> None:
    """Write rows over neighbouring axes; gains and biases go by the place in the row, or else by axis 1."""
    name, tables = writer.layer.inputs[0], writer.compiled
    shape, order = writer.shape(name), writer.orders[name]
    at = sorted(order.index(axis) for axis in axes)
    if at[-1] - at[0] >= len(at):  # other axes lie between
        order, at = identity(len(shape)), list(axes)
    sizes = [shape[axis] for axis in order]
    outer, inner = int(np.prod(sizes[: at[0]])), int(np.prod(sizes[at[-1] + 1 :]))
    depth = int(np.prod([shape[axis] for axis in axes]))
    factor, offset = tables["factor"], tables["offset"]
    if by_place:
        rows = [axes.index(axis) for axis in order if axis in axes]
        factor, offset = (
            item.reshape([shape[axis] for axis in axes]).transpose(rows).reshape(-1) for item in (factor, offset)
        )
        steps = [0, 1, 0]
    elif order.index(1) < at[0]:
        factor, offset = (np.tile(item, outer // item.size) for item in (factor, offset))
        steps = [1, 0, 0]
    else:
        steps = [0, 0, 1]
    source, target = writer.input(name, order), writer.output(order=order)
    _call(writer, [source, outer, depth, inner], (factor, offset, steps), target)


def _call(writer: LayerWriter, rows: list[Any], affine: tuple[Array, Array, list[int]], target: str) -> None:
    """Call the kernel. affine: factors, offsets and their steps along the three axes of the rows."""
    context = writer.context
    x, out, (factor, offset, steps) = context.input(), context.out, affine
    scale = row_scale(x, int(rows[2]), float(context.attrs["epsilon"]))
    biases = smallest(offset, ("int32", "int64"))
    kind = f"{biases.dtype.name}_t"
    named = [writer.constant("factor", factor, "int32_t"), writer.constant("offset", biases, kind)]
    numbers = [scale.fraction, scale.pre, scale.shift, int(writer.compiled["shift"][0])]
    structs = [
        writer.struct("int32_t @[3]", steps, "place"),
        writer.struct("int32_t @[4]", numbers, "row"),
    ]
    limits = writer.struct("int32_t @[3]", [out.zero_point, *context.limits], "limits")
    epsilon = f"INT64_C({scale.epsilon})"
    writer.step.in_place = writer.layer.inputs[:1]
    writer.call(
        "normalize", [*rows, *named, *structs, epsilon, limits, target],
        x_t=params_type(x), y_t=params_type(out), b_t=kind,
    )  # fmt: skip
