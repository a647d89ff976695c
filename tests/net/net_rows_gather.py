"""Normalizations, reductions, and moves by constant indices: Gather, Tile, Expand, ScatterND; Einsum."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from net_builder import Net
from net_row import Row, axis_of, broadcast_shape, reduction, require


def layer_normalization(net: Net) -> None:
    x = net.take((2, 3, 4, 5))
    shape = net.shape(x)
    axis = net.integer(1, len(shape) - 1)
    require(int(np.prod(shape[axis:])) > 2)  # of two values only a sign is left, which a rounding may turn
    constants = [net.constant(net.positive(shape[axis:]))]
    if net.coin():
        constants.append(net.constant(net.weights(shape[axis:], terms=1)))
    attrs = {} if axis == len(shape) - 1 and net.coin() else {"axis": net.among(axis, axis - len(shape))}
    attrs |= {"epsilon": 0.1} if net.coin() else {}
    net.node("LayerNormalization", [x, *constants], attrs)


def instance_normalization(net: Net) -> None:
    x = net.take((3, 4, 5))
    shape = net.shape(x)
    require(int(np.prod(shape[2:])) > 2)
    constants = [net.constant(net.positive((shape[1],))), net.constant(net.weights((shape[1],), terms=1))]
    net.node("InstanceNormalization", [x, *constants], {"epsilon": 0.1} if net.coin() else {})


def group_normalization(net: Net) -> None:
    x = net.take((3, 4, 5))
    shape = net.shape(x)
    groups = net.among(*[n for n in range(1, shape[1] + 1) if shape[1] % n == 0])
    require(int(np.prod(shape[1:])) // groups > 2)
    constants = [net.constant(net.positive((shape[1],))), net.constant(net.weights((shape[1],), terms=1))]
    attrs = {"num_groups": groups} | ({"epsilon": 0.1} if net.coin() else {})
    net.node("GroupNormalization", [x, *constants], attrs)


def gather(net: Net) -> None:
    x = net.take(most=400)
    shape = net.shape(x)
    axis = axis_of(net, len(shape))
    size = shape[axis % len(shape)]
    of = net.among((), (1,), (3,), (2, 2))
    lowest = -size if net.opset >= 11 else 0
    indices = np.array([net.integer(lowest, size - 1) for _ in range(int(np.prod(of)))], np.int64).reshape(of)
    net.node("Gather", [x, net.constant(indices, exact=True)], {"axis": axis} if axis or net.coin() else {})


def tile(net: Net) -> None:
    x = net.take(most=200)
    rank = len(net.shape(x))
    repeats = [net.integer(1, 3) for _ in range(rank)]
    repeats[0] = 1 if net.batch != "none" and rank > 1 else repeats[0]
    net.node("Tile", [x, net.constant(np.array(repeats, np.int64), exact=True)])


def expand(net: Net) -> None:
    x = net.take((1, 2, 3, 4), most=200)
    shape = net.shape(x)
    grows = [size == 1 and (axis > 0 or net.batch == "none") for axis, size in enumerate(shape)]
    wanted = [net.integer(1, 3) if free else size for free, size in zip(grows, shape, strict=True)]
    kept = broadcast_shape(net, shape)
    target = wanted if net.coin() else list(kept) or [1]
    net.node("Expand", [x, net.constant(np.array(target, np.int64), exact=True)])


def scatter_nd(net: Net) -> None:
    x = net.take((2, 3, 4))
    shape = net.shape(x)
    depth = net.integer(1, min(2, len(shape)))
    places = list(np.ndindex(*shape[:depth]))
    count = net.integer(1, min(4, len(places)))
    picked = net.drawn(st.permutations(range(len(places))))[:count]
    indices = np.array([places[number] for number in picked], np.int64)
    updates = net.constant(net.weights((count, *shape[depth:]), terms=1))
    net.node("ScatterND", [x, net.constant(indices, exact=True), updates])


def einsum(net: Net) -> None:
    x = net.take((3, 4))
    shape = net.shape(x)
    a = "bqhd"[: len(shape)] if len(shape) == 4 else "bqd"
    w = net.constant(net.weights((shape[-1], net.integer(1, 6)), terms=shape[-1]))
    out = a[:-1] + "k"
    net.node("Einsum", [x, w], {"equation": f"{a},dk->{out if net.coin() else 'b' + out[:0:-1]}"})


GATHER: dict[str, Row] = {
    "LayerNormalization": Row(layer_normalization, since=17),
    "InstanceNormalization": Row(instance_normalization),
    "GroupNormalization": Row(group_normalization, since=21),
    **{op: Row(reduction(op)) for op in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2")},
    "Gather": Row(gather),
    "Tile": Row(tile),
    "Expand": Row(expand, since=8),
    "ScatterND": Row(scatter_nd, since=11),
    "Einsum": Row(einsum, since=12),
}
