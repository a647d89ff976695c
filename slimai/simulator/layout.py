"""Views between the logical axis order of a network and the channels-last order of the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.context import LayerContext

Array = NDArray[Any]


_RUNS = {2, 4, 8}  # bytes that are one integer


def widened(x: Array) -> Array:
    """Return x with its last axis as one unsigned integer [.., 1] where it is so short a run of neighbours, else x."""
    run = x.shape[-1] * x.itemsize if x.ndim and x.shape[-1] > 1 else 0
    return x.view(f"u{run}") if run in _RUNS and x.strides[-1] == x.itemsize else x


def dense(x: Array) -> Array:
    """Return x C-contiguous. NumPy copies run by run, which for boxes of two or four bytes is most of the time."""
    return x if x.flags.c_contiguous else np.ascontiguousarray(widened(x)).view(x.dtype)


def joined(parts: list[Array], axis: int) -> Array:
    """Return `np.concatenate`, equal short runs along the last axis as one integer each."""
    wide = [widened(part) for part in parts]
    alike = len({part.dtype for part in parts}) == len({part.dtype for part in wide}) == 1
    if axis in {-1, parts[0].ndim - 1} and alike and all(part.shape[-1] == 1 for part in wide):
        return np.concatenate(wide, axis=axis).view(parts[0].dtype)
    return np.concatenate(parts, axis=axis)


def is_channels_last(context: LayerContext) -> bool:
    """Return whether the node's arrays are logically [N, H, W, C] (networks that come from TFLite)."""
    return bool(context.attrs.get("channels_last", 0))


def keeps_integers(context: LayerContext) -> bool:
    """Return whether output integers are input integers: equal parameters, or TFLite copies whatever they are."""
    return context.input() == context.out or bool(context.attrs.get("integers_kept", 0))


def to_nhwc(x: Array, channels_last: bool) -> Array:
    """Return [N, H, W, C], C-contiguous, of a [N, C, H, W] (or [N, C, L]) array, or of its channels-last twin.

    Of [N, C, D, H, W] it is [N, D, H, W, C].
    """
    return np.ascontiguousarray(as_nhwc(x, channels_last))


def as_nhwc(x: Array, channels_last: bool) -> Array:
    """Return what `to_nhwc` does as a view, in the memory order that there is."""
    if x.ndim == 3:
        return (x if channels_last else x.transpose(0, 2, 1))[:, None]
    return x if channels_last else x.transpose(0, *range(2, x.ndim), 1)


def from_nhwc(y: Array, rank: int, channels_last: bool) -> Array:
    """Return the view of [N, H, W, C] or [N, D, H, W, C] in the logical order of the network, of 3 to 5 axes."""
    if rank == 3:
        y = y[:, 0]
        return y if channels_last else y.transpose(0, 2, 1)
    return y if channels_last else y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def pair(values: Any, fill: int) -> tuple[int, int]:
    """Return (vertical, horizontal) of a spatial attribute; one axis gets `fill` for the missing first one."""
    numbers = tuple(int(value) for value in values)
    return numbers if len(numbers) == 2 else (fill, numbers[0])


def four_pads(pads: Any) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of ONNX pads of one or two spatial axes."""
    numbers = tuple(int(value) for value in pads)
    return numbers if len(numbers) == 4 else (0, numbers[0], 0, numbers[1])


def places(values: Any, fill: int) -> tuple[int, ...]:
    """Return a spatial attribute along two axes or more; one axis gets `fill` for the missing first one."""
    numbers = tuple(int(value) for value in values)
    return numbers if len(numbers) > 1 else (fill, *numbers)


def near_and_far(pads: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return ONNX pads as (near sides, far sides) of the axes that `places` gives."""
    half = len(pads) // 2
    return places(pads[:half], 0), places(pads[half:], 0)
