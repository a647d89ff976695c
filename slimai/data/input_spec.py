"""How one input of a network is made of a file, and which settings do not fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from slimai.data.array_input import ArrayForm
from slimai.data.resize import Resize
from slimai.errors import Diagnostic

Layout = Literal["NCHW", "NHWC", "NonImage"]
_CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}


@dataclass(frozen=True)
class InputSpec:
    """How one graph input is made.

    shape: the input's shape, axis 0 the batch of 1. column: which file of a sample feeds it, from 0; None = zeros of a
    state. listed: the column of lists that give states files too; None = as column. dtype: of the input; whole numbers
    come from arrays as they are, within `limits` of the operator `reader`. sequence: whether files hold steps.
    mean, stddev, resize.pad_value: one number, or one a channel in the network's channel order. exif: whether pictures
    are turned as their EXIF orientation says.
    """

    name: str
    shape: tuple[int, ...]
    column: int | None = 0
    layout: Layout = "NCHW"
    channel_order: Literal["RGB", "BGR", "GRAY"] = "RGB"
    mean: tuple[float, ...] = (0.0,)
    stddev: tuple[float, ...] = (1.0,)
    resize: Resize | None = None
    exif: Literal["apply", "ignore"] = "apply"
    listed: int | None = None
    dtype: str = "float32"
    limits: tuple[int, int] | None = None
    reader: str = ""
    sequence: bool = False

    @property
    def array(self) -> ArrayForm:
        """Return how an ``.npy`` file becomes this input."""
        resized = self.resize is not None
        return ArrayForm(self.shape, self.dtype, self.sequence, self.limits, self.reader, resized)

    @property
    def channels(self) -> int:
        """Return the number of channels (axis 1, or the last one of NHWC)."""
        if self.layout == "NHWC":
            return self.shape[-1]
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of an image input."""
        height, width = self.shape[2:4] if self.layout == "NCHW" else self.shape[1:3]
        return width, height


def spec_problems(spec: InputSpec) -> list[Diagnostic]:
    """Return what is wrong with the settings of an input."""
    if spec.layout == "NonImage":
        return _length_problems(spec, {"mean": spec.mean, "stddev": spec.stddev})
    if len(spec.shape) == 4 and spec.shape[0] != 1:
        message = f"input '{spec.name}' of the shape {list(spec.shape)} takes {spec.shape[0]} images at once"
        cure = f"give its shape with a batch of 1: network.input_node_name.{spec.name}.shape, or export the model so"
        return [Diagnostic(message, "network.input_model", suggestion=cure)]
    if len(spec.shape) != 4:
        cure = "set network.input_data_layout: NonImage for data that is no image"
        message = f"input '{spec.name}' of the shape {list(spec.shape)} takes no {spec.layout} image"
        return [Diagnostic(message, "network.input_data_layout", spec.layout, cure)]
    problems = []
    if spec.channels in {1, 3} and _CHANNELS[spec.channel_order] != spec.channels:
        other = [order for order, count in _CHANNELS.items() if count == spec.channels]
        message = f"input '{spec.name}' has {spec.channels} channel{'s' * (spec.channels > 1)}"
        cure = f"use {' or '.join(other)}, or correct network.input_data_layout (now {spec.layout})"
        problems.append(Diagnostic(message, "network.channel_order", spec.channel_order, cure))
    lists = {"mean": spec.mean, "stddev": spec.stddev}
    if spec.resize is not None:
        lists["resize.pad_value"] = spec.resize.pad_value
        problems += _crop_problems(spec, spec.resize)
    return problems + _length_problems(spec, lists)


def _length_problems(spec: InputSpec, lists: Mapping[str, tuple[float, ...]]) -> list[Diagnostic]:
    return [
        Diagnostic(
            f"input '{spec.name}' has {spec.channels} channels",
            f"network.{key}",
            list(values),
            "give one or one a channel",
        )
        for key, values in lists.items()
        if len(values) not in {1, spec.channels}
    ]


def _crop_problems(spec: InputSpec, resize: Resize) -> list[Diagnostic]:
    side = resize.short_side
    if resize.mode != "center_crop" or side is None or side >= min(spec.size):
        return []
    message = f"the short side is smaller than the network's input of {spec.size[0]}x{spec.size[1]}"
    return [Diagnostic(message, "network.resize.short_side", side, f"use {max(spec.size)} or more")]
