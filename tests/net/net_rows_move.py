"""Operators whose output elements are input elements: Reshape and its kin, Transpose, Concat, Split, Slice, Pad."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st
from net_builder import Net
from net_row import Row, axes_of, axis_of, require


def reshape(net: Net) -> None:
    x = net.take()
    shape = net.shape(x)
    lead = 0 if net.batch == "none" or len(shape) == 1 else 1
    sizes = _factors(net, prod(shape[lead:]))
    target = [*([net.among(0, 0, shape[0])] if lead else []), *sizes]
    if net.coin():
        target[net.integer(lead, len(target) - 1)] = -1
    elif net.batch == "open" and lead:
        target[0] = -1
    net.node("Reshape", [x], steer={"shape": target})


def _factors(net: Net, size: int) -> list[int]:
    """Return one to four numbers with this product."""
    found = []
    for _ in range(net.integer(0, 3)):
        found.append(net.among(*[n for n in range(1, min(size, 16) + 1) if size % n == 0]))
        size //= found[-1]
    return net.drawn(st.permutations([*found, size]))


def flatten(net: Net) -> None:
    x = net.take()
    net.node("Flatten", [x], {} if net.coin() else {"axis": net.integer(0, len(net.shape(x)))})


def squeeze(net: Net) -> None:
    x = net.take()
    shape = net.shape(x)
    ones = [axis for axis, size in enumerate(shape) if size == 1 and (axis or net.rare(6))]
    require(bool(ones))
    kept = net.drawn(st.permutations(ones))[: net.integer(1, len(ones))]
    axes = [axis - len(shape) if net.opset >= 11 and net.coin() else axis for axis in kept]
    net.node("Squeeze", [x], steer={"axes": axes})


def unsqueeze(net: Net) -> None:
    x = net.take((1, 2, 3, 4))
    rank = len(net.shape(x)) + 1
    axis = net.integer(1 if net.batch != "none" else 0, rank - 1)
    net.node("Unsqueeze", [x], steer={"axes": [axis - rank if net.opset >= 11 and net.coin() else axis]})


def identity(net: Net) -> None:
    x = net.take()
    net.node(net.among("Identity", "Dropout"), [x])


def transpose(net: Net) -> None:
    x = net.take()
    rank = len(net.shape(x))
    lead = [0] if rank > 1 and net.batch != "none" and not net.rare(6) else []
    perm = [*lead, *net.drawn(st.permutations(range(len(lead), rank)))]
    net.node("Transpose", [x], {} if net.rare(5) else {"perm": perm})


def concat(net: Net) -> None:
    x = net.take(most=800)
    shape = net.shape(x)
    axis = axis_of(net, len(shape))
    parts = [x]
    for _ in range(net.integer(0, 3)):
        parts.append(_part(net, shape, axis % len(shape)))
    net.node("Concat", net.drawn(st.permutations(parts)), {"axis": axis})


def _part(net: Net, shape: tuple[int, ...], axis: int) -> str:
    """Return another operand: the same shape, but along the axis."""
    fits = [
        name
        for name in net.live
        if len(net.shape(name)) == len(shape)
        and all(a == b or i == axis for i, (a, b) in enumerate(zip(net.shape(name), shape, strict=True)))
    ]
    if fits and not net.rare(4):
        return net.among(*fits)
    sizes = [net.integer(1, 4) if i == axis else size for i, size in enumerate(shape)]
    if net.coin():
        return net.constant(net.weights(sizes, terms=1))
    if axis == 0 and net.batch != "none":
        sizes[0] = shape[0]
    return net.new_input(sizes)


def split(net: Net) -> None:
    x = net.take()
    shape = net.shape(x)
    axis = axis_of(net, len(shape))
    size = shape[axis % len(shape)]
    count = net.integer(1, min(3, size))
    steer: dict[str, Any] = {"split": None}
    attrs = {"axis": axis} if axis or net.coin() else {}
    if size % count or (net.coin() and net.opset < 18) or net.rare(3):
        cuts = sorted(net.drawn(st.permutations(range(1, size)))[: count - 1])
        steer["split"] = [b - a for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    elif net.opset >= 18:
        attrs["num_outputs"] = count
    net.node("Split", [x], attrs, steer=steer, outputs=count)


def slice_(net: Net) -> None:
    x = net.take()
    shape = net.shape(x)
    axes = axes_of(net, len(shape))
    starts, ends, steps = [], [], []
    for axis in axes:
        size = shape[axis % len(shape)]
        first = net.integer(0, size - 1)
        last = net.integer(first, size - 1)
        step = net.integer(1, 3)
        if net.opset >= 10 and net.rare(4):
            starts.append(net.among(last, last - size))
            ends.append(first - 1 if first else net.among(-size - 1, -(2**31)))
            steps.append(-step)
        else:
            starts.append(net.among(first, first - size))
            ends.append(net.among(last + 1, 2**31 - 1) if last == size - 1 else net.among(last + 1, last + 1 - size))
            steps.append(step if net.opset >= 10 else 1)
    steer: dict[str, Any] = {"starts": starts, "ends": ends, "axes": axes, "steps": None}
    if net.opset >= 10 and (set(steps) != {1} or net.coin()):
        steer["steps"] = steps
    net.node("Slice", [x], steer=steer)


def pad(net: Net) -> None:
    x = net.take(most=400)
    shape = net.shape(x)
    rank = len(shape)
    mode = net.among("constant", "constant", "constant", "reflect", "edge", *(["wrap"] if net.opset >= 19 else []))
    limits = [2 if mode not in {"reflect", "wrap"} else min(2, size - 1) for size in shape]
    limits[0] = limits[0] if net.batch == "none" and mode == "constant" else 0
    pads = [net.integer(0, limit) for limit in (*limits, *limits)]
    if mode == "constant" and net.rare(5):
        pads[rank - 1] = -1 if shape[-1] > 2 else 0
    attrs = {} if mode == "constant" and net.coin() else {"mode": mode}
    values = [np.float32(0.5), np.float32(-1.0), np.float32(0.0)]
    value = net.among(None, *values) if mode == "constant" else None
    net.node("Pad", [x], attrs, steer={"pads": pads, "value": value})


MOVE: dict[str, Row] = {
    "Reshape": Row(reshape),
    "Flatten": Row(flatten),
    "Squeeze": Row(squeeze),
    "Unsqueeze": Row(unsqueeze),
    "Identity": Row(identity),
    "Transpose": Row(transpose),
    "Concat": Row(concat),
    "Split": Row(split),
    "Slice": Row(slice_),
    "Pad": Row(pad),
}
