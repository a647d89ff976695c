"""Operators of ONNX that the front end writes as a few canonical ones: sums of many, norms, logarithms of sums."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from net_builder import Net
from net_row import Make, Row, axes_of, axis_of, broadcast_shape, reduction, require


def many(op: str) -> Make:
    """Return the maker of a sum or mean of two or three operands, one of them a constant now and then."""

    def make(net: Net) -> None:
        x = net.take(most=800)
        shape = net.shape(x)
        fits = [name for name in net.live if net.shape(name) == shape]
        others = [net.among(*fits) for _ in range(net.integer(1, 2))]
        if net.coin():
            others[-1] = net.constant(net.weights(broadcast_shape(net, shape) if net.opset >= 8 else shape, terms=1))
        net.node(op, net.drawn(st.permutations([x, *others])))

    return make


def log_sum(net: Net) -> None:
    """The logarithm of a sum of positive values."""
    x = net.bounded(net.take(), 0.05, 9)
    axes = None if net.rare(6) else axes_of(net, len(net.shape(x)))
    net.node("ReduceLogSum", [x], {} if net.coin() else {"keepdims": net.integer(0, 1)}, steer={"axes": axes})


def log_softmax(net: Net) -> None:
    """Along any axis; before operator set 13 over all axes from it on."""
    x = net.take()
    net.node("LogSoftmax", [x], {} if net.rare(3) else {"axis": axis_of(net, len(net.shape(x)))})


def lp_normalization(net: Net) -> None:
    """By the sum of magnitudes or the root of squares, along one axis: of rows away from 0, where it jumps."""
    x = net.bounded(net.take(), 0.25, 4)
    shape = net.shape(x)
    axis = axis_of(net, len(shape))
    require(shape[axis] > 2)
    if net.coin():
        signs = np.where(net.rng.random(shape[-1]) < 0.5, -1, 1).astype(np.float32)
        x = net.node("Mul", [x, net.constant(signs, exact=True)])
    net.node("LpNormalization", [x], {"axis": axis} | ({"p": net.integer(1, 2)} if net.coin() else {}))


def rms_normalization(net: Net) -> None:
    """Over the last axes, times a gain."""
    x = net.take((2, 3, 4))
    shape = net.shape(x)
    axis = net.integer(1, len(shape) - 1)
    require(int(np.prod(shape[axis:])) > 2)
    attrs = {"epsilon": net.among(1e-3, 0.1)} | ({} if axis == len(shape) - 1 and net.coin() else {"axis": axis})
    net.node("RMSNormalization", [x, net.constant(net.positive(shape[axis:]))], attrs)


COMPOSITE: dict[str, Row] = {
    "Sum": Row(many("Sum")),
    "Mean": Row(many("Mean")),
    **{op: Row(reduction(op)) for op in ("ReduceL1", "ReduceSumSquare", "ReduceLogSumExp")},
    "ReduceLogSum": Row(log_sum),
    "LogSoftmax": Row(log_softmax),
    "LpNormalization": Row(lp_normalization),
    "RMSNormalization": Row(rms_normalization, since=23),
}
