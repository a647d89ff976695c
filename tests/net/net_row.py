"""A row of the operator table, and the makers of rows that many operators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from net_builder import Decline, Net

Make = Callable[[Net], None]


@dataclass(frozen=True)
class Row:
    """make: adds the operator to a network, with drawn attributes. since: first operator set with a form of it."""

    make: Make
    since: int = 7


def unary(op: str, *, low: float | None = None, high: float | None = None, **attrs: Sequence[Any]) -> Make:
    """Return the maker of an elementwise operator; attrs: the values that each attribute may have, or be left out."""

    def make(net: Net) -> None:
        x = net.take()
        if low is not None and high is not None:
            x = net.bounded(x, low, high)
        found = {key: net.among(*values) for key, values in attrs.items() if not net.rare(4)}
        net.node(op, [x], found)

    return make


def axes_of(net: Net, rank: int, *, count: int | None = None) -> list[int]:
    """Return some different axes, counted from either end; the batch axis seldom."""
    first = 1 if rank > 1 and net.batch != "none" and not net.rare(6) else 0
    count = net.integer(1, rank - first) if count is None else count
    found = net.drawn(st.permutations(range(first, rank)))[:count]
    return [axis - rank if net.opset >= 11 and net.coin() else axis for axis in found]


def axis_of(net: Net, rank: int) -> int:
    """Return one axis; the batch axis seldom."""
    return axes_of(net, rank, count=1)[0]


def reduction(op: str) -> Make:
    """Return the maker of a reduction over some axes, or over all."""

    def make(net: Net) -> None:
        x = net.take()
        axes = None if net.rare(6) else axes_of(net, len(net.shape(x)))
        attrs = {} if net.rare(3) else {"keepdims": net.integer(0, 1)}
        net.node(op, [x], attrs, steer={"axes": axes})

    return make


def two_operands(op: str, *, positive: bool = False, apart: bool = False) -> Make:
    """Return the maker of an operator with NumPy broadcasting; positive: the second operand lies in [0.5, 2].

    apart: operands depend on different inputs: x - tanh(x) is smaller than the steps that its operands are known to.
    """

    def make(net: Net) -> None:
        a = net.take()
        if net.coin():
            b = _constant_operand(net, net.shape(a), positive=positive)
        else:
            b = _other_operand(net, a, apart=apart)
            b = net.bounded(b, 0.5, 2.0) if positive else b
        net.node(op, [b, a] if not positive and net.coin() else [a, b])

    return make


def broadcast_shape(net: Net, shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape that broadcasts to `shape`: leading axes left out, some axes 1."""
    kept = shape[net.integer(0, len(shape)) :]
    return tuple(size if net.coin() else 1 for size in kept)


def _constant_operand(net: Net, shape: Sequence[int], *, positive: bool) -> str:
    wanted = broadcast_shape(net, shape)
    if len(shape) < 5 and net.rare(10):
        wanted = (net.integer(1, 2), *shape)
    values = net.positive(wanted) if positive else net.weights(wanted, terms=1)
    return net.constant(values, exact=positive)


def _other_operand(net: Net, a: str, *, apart: bool) -> str:
    shape = net.shape(a)
    fits = [name for name in net.live if name != a and _broadcasts(net.shape(name), shape)]
    if apart:
        fits = [name for name in fits if not net.roots(name) & net.roots(a)]
    if fits and not net.rare(4):
        return net.among(*fits)
    if net.rare(8):
        return a
    if net.coin():
        return net.new_input(shape)
    sizes = [size if net.coin() else 1 for size in shape]
    if net.batch != "none" and shape:
        sizes[0] = shape[0]
    return net.new_input(sizes)


def _broadcasts(one: Sequence[int], other: Sequence[int]) -> bool:
    try:
        np.broadcast_shapes(tuple(one), tuple(other))
    except ValueError:
        return False
    return True


def window(net: Net, sizes: Sequence[int], *, largest: int = 4, dilated: bool = True) -> dict[str, Any]:
    """Return kernel_shape, strides, dilations and pads (or auto_pad) of a window that fits into `sizes`.

    Attributes that have their default are left out now and then.
    """
    rank = len(sizes)
    kernel = [net.integer(1, min(largest, size)) for size in sizes]
    strides = [net.integer(1, 3) for _ in sizes]
    dilations = [
        net.integer(1, max(1, (size - 1) // max(k - 1, 1))) if dilated and k > 1 and net.rare(3) else 1
        for k, size in zip(kernel, sizes, strict=True)
    ]
    found: dict[str, Any] = {"kernel_shape": kernel}
    if max(strides) > 1 or net.coin():
        found["strides"] = strides
    if max(dilations) > 1 or (dilated and net.coin()):
        found["dilations"] = [min(item, 3) for item in dilations]
    auto = net.among("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    auto = auto if max(found.get("dilations", [1])) == 1 else "NOTSET"  # ONNX Runtime has no other
    if auto != "NOTSET":
        found["auto_pad"] = auto
    elif net.coin():
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, found.get("dilations", [1] * rank), strict=True)]
        found["pads"] = [net.integer(0, min(extent - 1, k - 1)) for extent, k in zip(extents, kernel, strict=True)] + [
            net.integer(0, min(extent - 1, k - 1)) for extent, k in zip(extents, kernel, strict=True)
        ]
    return found


def require(condition: bool) -> None:
    """Raise Decline unless the condition holds."""
    if not condition:
        raise Decline
