"""Pooling, Resize, DepthToSpace and SpaceToDepth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from slimai.errors import UnsupportedError
from slimai.graph.canonical.context import (
    Context,
    computed_input,
    has_input,
    integers,
    only,
    positive_axis,
    same_as_reshape,
)
from slimai.graph.canonical.matrix import begins_inside, window
from slimai.graph.ir import Array, Node
from slimai.graph.ops import ONNX_FORM

_COORDINATES = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"}


def _pool(context: Context, node: Node, **more: Any) -> tuple[Node, ...]:
    kernel = integers(node.attrs["kernel_shape"])
    found = window(context, node, kernel)
    # SAME sets the size itself; with the pads written out, ceil_mode would add to it
    ceil_mode = int(node.attrs.get("ceil_mode", 0)) and not node.attrs.get("auto_pad", "NOTSET").startswith("SAME")
    if ceil_mode:
        ceil_mode = _settle_ceil_mode(context, node, kernel, found, counted=more.get("count_include_pad", 0))
    return (only(node, 1, kernel_shape=kernel, **found, ceil_mode=int(ceil_mode), **more),)


def _settle_ceil_mode(
    context: Context, node: Node, kernel: tuple[int, ...], found: dict[str, Any], *, counted: bool
) -> bool:
    """Return whether ceil_mode is still wanted; lengthen the pads of `found` where they can stand for it.

    A last window that would begin behind the picture is none, but ONNX's inference counts it: where there is one, the
    node is written without ceil_mode, so that all readers of the saved network see the same shape.
    """
    sizes, target = context.shape(node.inputs[0])[2:], context.shape(node.outputs[0])[2:]
    rank, pads = len(kernel), list(found["pads"])
    rows = zip(sizes, kernel, found["strides"], found["dilations"], pads[:rank], pads[rank:], strict=True)
    rests = [n + begin + end - (k - 1) * d - 1 for n, k, _, d, begin, end in rows]
    beyond = [(count - 1) * s - rest for count, s, rest in zip(target, found["strides"], rests, strict=True)]
    counts = [-(-rest // s) + 1 for rest, s in zip(rests, found["strides"], strict=True)]
    if counts == list(target):
        return True
    if max(beyond) > 0 and counted:
        where = f"{node.op} with ceil_mode and count_include_pad"
        message = f"{where} has a window behind the picture along one axis and over its edge along another"
        raise UnsupportedError.at(node.name, message, cure="export it with explicit pads and without ceil_mode")
    found["pads"] = (*pads[:rank], *(end + max(0, more) for end, more in zip(pads[rank:], beyond, strict=True)))
    return False


def max_pool(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the MaxPool; one that also gives indices stays in its ONNX form."""
    return _pool(context, node) if not any(node.outputs[1:]) else None


def average_pool(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the AveragePool with explicit pads.

    Before operator set 19 ONNX Runtime refuses windows that begin inside; there they begin at the first element, as
    those of TensorFlow do.
    """
    kernel = integers(node.attrs["kernel_shape"])
    if context.graph.opsets.get("", 0) >= 19 and begins_inside(context, node, kernel):
        # SAME sets the size itself; ONNX's inference lets ceil_mode add to it
        return (replace(node.with_attrs(ceil_mode=0), op=f"{ONNX_FORM}{node.op}"),)
    return _pool(context, node, count_include_pad=int(node.attrs.get("count_include_pad", 0)))


def global_average_pool(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the GlobalAveragePool."""
    del context
    return (only(node, 1),)


def global_max_pool(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the MaxPool whose window is the whole picture."""
    size = context.shape(node.inputs[0])[2:]
    one, zero = (1,) * len(size), (0,) * (2 * len(size))
    if not size:
        return None
    return (only(node, 1, "MaxPool", kernel_shape=size, strides=one, dilations=one, pads=zero, ceil_mode=0),)


def reduce(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the reduction with its axes as an attribute (opset 13 or 18 made them an input)."""
    if computed_input(context, node, 1):
        return None
    axes = context.constant(node, 1) if has_input(node, 1) else node.attrs.get("axes", ())
    rank = len(context.shape(node.inputs[0]))
    found = tuple(sorted({positive_axis(axis, rank) for axis in integers(axes if axes is not None else ())}))
    if not found and node.attrs.get("noop_with_empty_axes", 0):
        return (only(node, 1, "Reshape", shape=context.shape(node.outputs[0])),)
    return (only(node, 1, axes=found or tuple(range(rank)), keepdims=int(node.attrs.get("keepdims", 1))),)


def resize(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the Resize with sizes and scales; cubic, antialiased and cropping ones keep their ONNX form.

    One that leaves every size as it is copies its input, whatever its scales say (as ONNX Runtime does).
    """
    attrs = node.attrs
    mode = attrs.get("mode", "nearest")
    coordinates = attrs.get("coordinate_transformation_mode", "half_pixel")
    stretch = attrs.get("keep_aspect_ratio_policy", "stretch") == "stretch"
    if mode == "nearest" and coordinates == "half_pixel_symmetric" and attrs.get("nearest_mode") in {"floor", "ceil"}:
        return None  # one rounding in the runtime's position, which is not stated, decides between two pixels
    plain = mode in {"nearest", "linear"} and coordinates in _COORDINATES and stretch and not attrs.get("antialias", 0)
    if not plain or computed_input(context, node, 2) or computed_input(context, node, 3):
        return None
    source, target = context.shape(node.inputs[0]), context.shape(node.outputs[0])
    scales = _scales(context, node, source, target)
    if source == target:
        return same_as_reshape(context, node)
    return (
        only(
            node,
            1,
            mode=mode,
            sizes=target,
            scales=scales,
            coordinate_transformation_mode=coordinates,
            nearest_mode=attrs.get("nearest_mode", "round_prefer_floor"),
        ),
    )


def _scales(context: Context, node: Node, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[float, ...]:
    """Return output/input ratios as float32 values: the given ones, else those that the sizes imply.

    Raises:
        UnsupportedError: the given ones do not lead to the sizes that the rest of the network was built for.
    """
    given = context.constant(node, 2)
    scales = [float(np.float32(t) / np.float32(s)) if s else 1.0 for s, t in zip(source, target, strict=True)]
    if given is not None and given.size:
        axes = node.attrs.get("axes", range(len(source)))
        for axis, value in zip(axes, given.reshape(-1), strict=True):
            scales[positive_axis(axis, len(source))] = float(value)
        sizes = runtime_sizes(source, np.array(scales))
        if sizes != target:
            message = f"the output size of Resize depends on the precision of scale * size: {list(sizes)} or"
            raise UnsupportedError.at(node.name, message, list(target), cure="export it with sizes")
    return tuple(scales)


def runtime_sizes(shape: tuple[int, ...], scales: Array) -> tuple[int, ...]:
    """Return the output sizes that ONNX Runtime gives a Resize: the float32 product, truncated."""
    product = np.asarray(shape, np.float32) * np.asarray(scales, np.float32)
    return tuple(int(size) for size in np.asarray(product, np.float32))


def depth_to_space(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the DepthToSpace with its mode."""
    del context
    return (only(node, 1, blocksize=int(node.attrs["blocksize"]), mode=node.attrs.get("mode", "DCR")),)


def space_to_depth(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the SpaceToDepth with its mode."""
    del context
    return (only(node, 1, blocksize=int(node.attrs["blocksize"]), mode=node.attrs.get("mode", "DCR")),)


RULES = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"), reduce),
    "Resize": resize,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
