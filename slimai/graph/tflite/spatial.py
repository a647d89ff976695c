"""Pooling, means, resizing and the exchange of space and depth."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.matrix import conv_2d, depthwise_conv_2d, fully_connected, image, transpose_conv, window

Rule = Callable[[Builder, FileOperator], None]
LAST = {"channels_last": 1}


def pool(b: Builder, op: FileOperator) -> None:
    """AVERAGE_POOL_2D (padding does not count) and MAX_POOL_2D; both keep the grid of their input."""
    x = b.activation(op, 0)
    count, height, width, channels = image(b, op)
    kernel = (b.option(op, "FilterHeight"), b.option(op, "FilterWidth"))
    size, attrs = window(b, op, (height, width), kernel)
    more = {"kernel_shape": kernel, "ceil_mode": 0, "integers_kept": 1, **LAST}
    kind = "MaxPool" if op.code == "MAX_POOL_2D" else "AveragePool"
    if kind == "AveragePool":
        more["count_include_pad"] = 0
    b.emit_clamped(op, kind, (x,), {**attrs, **more}, shape=(count, *size, channels))


def mean(b: Builder, op: FileOperator) -> None:
    """MEAN over constant axes."""
    x, shape = b.activation(op, 0), b.shape(op)
    given = b.numbers(op, 1)
    if not given or any(not -len(shape) <= axis < len(shape) for axis in given):
        raise b.wrong(op, f"its axes do not fit {len(shape)} axes", list(given))
    axes = tuple(sorted({axis % len(shape) for axis in given}))
    keep = int(bool(b.option(op, "KeepDims")))
    result = tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)
    if prod(shape[axis] for axis in axes) < 1:
        raise b.wrong(op, "its input is empty", list(shape))
    b.expect(op, result)
    b.emit("ReduceMean", (x,), (b.output(op),), {"axes": axes, "keepdims": keep})


def resize(b: Builder, op: FileOperator) -> None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""
    x = b.activation(op, 0)
    count, height, width, channels = image(b, op)
    size = b.numbers(op, 1)
    if len(size) != 2 or min(*size, height, width) < 1:
        raise b.wrong(op, "its size is not possible", list(size))
    align, half = bool(b.option(op, "AlignCorners")), bool(b.option(op, "HalfPixelCenters"))
    linear = op.code == "RESIZE_BILINEAR"
    if align and half:
        raise b.wrong(op, "align_corners and half_pixel_centers exclude each other")
    sizes = (count, *size, channels)
    ratios = (np.float32(size[0]) / np.float32(height), np.float32(size[1]) / np.float32(width))
    attrs = {
        "mode": "linear" if linear else "nearest",
        "sizes": sizes,
        "scales": (1.0, float(ratios[0]), float(ratios[1]), 1.0),
        "coordinate_transformation_mode": "align_corners" if align else "half_pixel" if half else "asymmetric",
        "nearest_mode": "round_prefer_ceil" if align or half else "floor",
    }
    b.expect(op, sizes)
    b.emit("Resize", (x,), (b.output(op),), {**attrs, **LAST, "integers_kept": 1})


def depth_to_space(b: Builder, op: FileOperator) -> None:
    """DEPTH_TO_SPACE: the block's rows and columns are the outer part of the channels."""
    x, block = b.activation(op, 0), b.option(op, "BlockSize")
    count, height, width, channels = image(b, op)
    if block < 1 or channels % (block * block):
        raise b.wrong(op, f"a block of {block} does not divide {channels} channels")
    b.expect(op, (count, height * block, width * block, channels // (block * block)))
    attrs = {"blocksize": block, "mode": "DCR", "integers_kept": 1, **LAST}
    b.emit("DepthToSpace", (x,), (b.output(op),), attrs)


def space_to_depth(b: Builder, op: FileOperator) -> None:
    """SPACE_TO_DEPTH."""
    x, block = b.activation(op, 0), b.option(op, "BlockSize")
    count, height, width, channels = image(b, op)
    if block < 1 or height % block or width % block:
        raise b.wrong(op, f"a block of {block} does not divide {height}x{width}")
    b.expect(op, (count, height // block, width // block, channels * block * block))
    b.emit("SpaceToDepth", (x,), (b.output(op),), {"blocksize": block, "integers_kept": 1, **LAST})


RULES: dict[str, Rule] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": pool,
    "MAX_POOL_2D": pool,
    "MEAN": mean,
    "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": space_to_depth,
}
