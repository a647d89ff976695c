"""Pooling, reductions, resizing and the exchange of space and depth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.floats.writer import Writer, first_axes
from slimai.graph.tflite.matrix import image, window

Rule = Callable[[Writer, FileOperator], None]
_REDUCTIONS = {
    "MEAN": "ReduceMean",
    "SUM": "ReduceSum",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
}


def pool(w: Writer, op: FileOperator) -> None:
    """AVERAGE_POOL_2D (padding does not count) and MAX_POOL_2D."""
    _, height, width, _ = image(w, op)
    kernel = (w.option(op, "FilterHeight"), w.option(op, "FilterWidth"))
    _, attrs = window(w, op, (height, width), kernel)
    kind = "MaxPool" if op.code == "MAX_POOL_2D" else "AveragePool"
    more = {"kernel_shape": kernel, "strides": attrs["strides"], "pads": attrs["pads"]}
    w.emit(op, kind, (w.picture(op),), more, first=True)


def reduced(w: Writer, op: FileOperator) -> None:
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN and REDUCE_PROD over constant axes."""
    shape, given = w.shape(op), w.numbers(op, 1)
    if any(not -len(shape) <= axis < len(shape) for axis in given):
        raise w.wrong(op, f"its axes do not fit {len(shape)} axes", list(given))
    axes = sorted({axis % len(shape) for axis in given})
    keep = int(bool(w.option(op, "KeepDims")))
    if not axes:
        w.emit(op, "Identity", (w.filed(op),))
        return
    left = [axis for axis in first_axes(len(shape)) if axis not in axes] if len(shape) > 2 else []
    first = w.prefers_first(op) and (bool(keep) or left == sorted(left))
    if first:
        axes = sorted(first_axes(len(shape)).index(axis) for axis in axes)
    steer = w.constant(f"{w.names[op.outputs[0]]}__axes", np.array(axes, np.int64))
    x = w.picture(op) if first else w.filed(op)
    w.emit(op, _REDUCTIONS[op.code], (x, steer), {"keepdims": keep}, first=first and bool(keep))


def resize(w: Writer, op: FileOperator) -> None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR, all three placements."""
    count, height, width, channels = image(w, op)
    size = w.numbers(op, 1)
    if len(size) != 2 or min(*size, height, width) < 1:
        raise w.wrong(op, "its size is not possible", list(size))
    align, half = bool(w.option(op, "AlignCorners")), bool(w.option(op, "HalfPixelCenters"))
    if align and half:
        raise w.wrong(op, "align_corners and half_pixel_centers exclude each other")
    attrs = {
        "mode": "linear" if op.code == "RESIZE_BILINEAR" else "nearest",
        "coordinate_transformation_mode": "align_corners" if align else "half_pixel" if half else "asymmetric",
        "nearest_mode": "round_prefer_ceil" if align or half else "floor",
    }
    sizes = w.constant(f"{w.names[op.outputs[0]]}__sizes", np.array([count, channels, *size], np.int64))
    w.emit(op, "Resize", (w.picture(op), "", "", sizes), attrs, first=True)


def depth_to_space(w: Writer, op: FileOperator) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: rows and columns of the block are the outer part of the channels."""
    block = w.option(op, "BlockSize")
    _, height, width, channels = image(w, op)
    deep = op.code == "SPACE_TO_DEPTH"
    if block < 1 or (height % block or width % block if deep else channels % (block * block)):
        raise w.wrong(op, f"a block of {block} does not divide {height}x{width}x{channels}")
    kind = "SpaceToDepth" if deep else "DepthToSpace"
    w.emit(op, kind, (w.picture(op),), {"blocksize": block}, first=True)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), pool),
    **dict.fromkeys(_REDUCTIONS, reduced),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), resize),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), depth_to_space),
}
