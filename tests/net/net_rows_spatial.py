"""Pooling, Resize, DepthToSpace, SpaceToDepth, ReduceMean."""

from __future__ import annotations

from typing import Any

import numpy as np
from net_builder import Net
from net_row import Row, reduction, require, window


def max_pool(net: Net) -> None:
    x = net.take((3, 4, 4, 4, 5))
    if net.rare(6):
        net.node("GlobalMaxPool", [x])
    else:
        attrs = window(net, net.shape(x)[2:], dilated=net.opset >= 10)
        if net.opset >= 10 and net.rare(3):
            attrs["ceil_mode"] = 1
        net.node("MaxPool", [x], attrs)


def average_pool(net: Net) -> None:
    x = net.take((3, 4, 4, 4, 5))
    attrs = window(net, net.shape(x)[2:], dilated=net.opset >= 19)
    if net.opset >= 10 and net.rare(3):
        attrs["ceil_mode"] = 1
    if net.coin():
        attrs["count_include_pad"] = net.integer(0, 1)
    net.node("AveragePool", [x], attrs)
    if attrs.get("auto_pad", "").startswith("SAME") and net.opset >= 19:
        net.on_host("AveragePool", "no integer kernel")  # windows that ONNX Runtime lets begin inside


def global_average_pool(net: Net) -> None:
    net.node("GlobalAveragePool", [net.take((3, 4, 5))])


def resize(net: Net) -> None:
    x = net.take((3, 4, 4, 5), most=600)
    shape = net.shape(x)
    mode = net.among("nearest", "linear")
    if net.opset < 11:
        scales = np.array([1, 1, *(net.among(1.0, 2.0, 3.0) for _ in shape[2:])], np.float32)
        require(mode == "nearest" or len(shape) == 4)
        op = "Upsample" if net.opset < 10 else "Resize"
        target = np.floor(np.array(shape, np.float32) * scales).astype(int)
        if op == "Upsample":
            net.node(op, [x], {"mode": mode}, steer={"scales": scales}, shape=target)
        else:
            net.node(op, [x, net.constant(scales, exact=True)], {"mode": mode}, shape=target)
        return
    places = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    attrs: dict[str, Any] = {"mode": mode}
    if not net.rare(4):
        attrs["coordinate_transformation_mode"] = net.among(*places)
    if mode == "nearest" and net.coin():
        attrs["nearest_mode"] = net.among("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if net.coin():
        sizes = [*shape[:2], *(net.integer(1, 2 * size + 1) for size in shape[2:])]
        net.node("Resize", [x], attrs, steer={"sizes": sizes})
        return
    scales = np.array(
        [1, 1, *(net.among(1.0, 2.0, 0.5, 1.5, 2.5, 1 / 3, 2.6, 1.4, 0.8) for _ in shape[2:])], np.float32
    )
    target = np.floor(np.array(shape, np.float32) * scales).astype(int)
    require(target.min() >= 1)
    net.node("Resize", [x], attrs, steer={"scales": scales}, shape=target)


def depth_to_space(net: Net) -> None:
    size = net.integer(2, 3)
    shape = net.shape(x := net.take((4,), most=600))
    if shape[1] % size**2:
        lead = {"three": 3, "none": 2}.get(net.batch, 1)
        x = net.new_input((lead, size**2 * net.integer(1, 2), net.integer(1, 4), net.integer(1, 4)))
    attrs: dict[str, Any] = {"blocksize": size}
    if net.opset >= 11 and net.coin():
        attrs["mode"] = net.among("DCR", "CRD")
    net.node("DepthToSpace", [x], attrs)


def space_to_depth(net: Net) -> None:
    size = net.integer(2, 3)
    shape = net.shape(x := net.take((4,), most=600))
    if shape[2] % size or shape[3] % size:
        lead = {"three": 3, "none": 2}.get(net.batch, 1)
        x = net.new_input((lead, net.integer(1, 3), size * net.integer(1, 3), size * net.integer(1, 3)))
    net.node("SpaceToDepth", [x], {"blocksize": size})


SPATIAL: dict[str, Row] = {
    "MaxPool": Row(max_pool),
    "AveragePool": Row(average_pool),
    "GlobalAveragePool": Row(global_average_pool),
    "ReduceMean": Row(reduction("ReduceMean")),
    "Resize": Row(resize),
    "DepthToSpace": Row(depth_to_space),
    "SpaceToDepth": Row(space_to_depth),
}
