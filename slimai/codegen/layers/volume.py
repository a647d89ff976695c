"""Windows over three axes of space: depth, height, width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.layouts import channels_last
from slimai.codegen.writer import LayerWriter
from slimai.simulator.layout import is_channels_last, near_and_far

Int = NDArray[np.int64]


def over_volume(writer: LayerWriter) -> bool:
    """Return whether the layer's tensors have three axes of space."""
    return len(writer.shape(writer.layer.inputs[0])) == 5


def volume(writer: LayerWriter, kernel: tuple[int, ...], group: int = 1) -> str:
    """Return the address of the window of a layer over volumes."""
    attrs = writer.context.attrs
    parts: list[Any] = []
    for tensor in (writer.layer.inputs[0], writer.layer.outputs[0]):
        *space, channels = _memory(writer, tensor)
        parts += [_list(space), channels]
    dilations = attrs.get("dilations") or (1, 1, 1)
    parts += [_list(item) for item in (kernel, attrs["strides"], dilations, near_and_far(attrs["pads"])[0])]
    return "&" + writer.struct("volume", [*parts, group], "volume")


def stored_weights(values: Int, group: int, *, transposed: bool) -> Int:
    """Return weights [O, KD, KH, KW, C / group] of [O, C / group, ...], or transposed [C, O / group, ...]."""
    if transposed:
        split = values.reshape(group, -1, *values.shape[1:])
        values = split.swapaxes(1, 2).reshape(-1, split.shape[1], *values.shape[2:])
    return np.moveaxis(values, 1, -1)


def _memory(writer: LayerWriter, tensor: str) -> tuple[int, ...]:
    shape = writer.shape(tensor)
    return shape[1:] if is_channels_last(writer.context) else tuple(shape[axis] for axis in channels_last(5)[1:])


def _list(values: Any) -> str:
    return "{" + ", ".join(str(int(value)) for value in values) + "}"
