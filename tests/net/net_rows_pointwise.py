"""Operators that work element by element, with one operand or two, Softmax and ArgMax."""

from __future__ import annotations

import numpy as np
from net_builder import Net
from net_row import Row, axis_of, require, two_operands, unary


def clip(net: Net) -> None:
    low, high = net.among((0.0, 6.0), (0.0, 1.0), (-1.0, 1.0), (-0.5, 2.0), (0.25, 1.5), (None, 0.5), (-0.5, None))
    if (low is None or high is None) and net.opset < 11:
        low, high = (-3.4028234663852886e38 if low is None else low), (3.4028234663852886e38 if high is None else high)
    values = {"min": None if low is None else np.float32(low), "max": None if high is None else np.float32(high)}
    net.node("Clip", [net.take()], steer=values)


def prelu(net: Net) -> None:
    x = net.take((2, 3, 4, 5))
    shape = net.shape(x)
    per_channel = (shape[1], *(1,) * (len(shape) - 2))
    wanted = net.among(per_channel, per_channel, (1,), shape[1:], (1, *per_channel))
    net.node("PRelu", [x, net.constant(net.positive(wanted, -0.2, 0.6))])


def softmax(net: Net) -> None:
    x = net.take()
    attrs = {} if net.rare(3) else {"axis": axis_of(net, len(net.shape(x)))}
    net.node("Softmax", [x], attrs)


def arg_max(net: Net) -> None:
    x = net.take()
    attrs = {"axis": axis_of(net, len(net.shape(x)))} if not net.rare(4) else {}
    if net.coin():
        attrs["keepdims"] = net.integer(0, 1)
    if net.opset >= 12 and net.rare(3):
        attrs["select_last_index"] = net.integer(0, 1)
    net.indices[net.node("ArgMax", [x], attrs)] = (x, attrs)


def silu(net: Net) -> None:
    x = net.take()
    if net.opset >= 24 and net.coin():
        net.node("Swish", [x])
        return
    gate = net.node("Sigmoid", [x])
    net.node("Mul", [x, gate] if net.coin() else [gate, x])


def hard_swish(net: Net) -> None:
    x = net.take()
    if net.opset >= 14 and net.coin():
        net.node("HardSwish", [x])
        return
    if net.coin():
        gate = net.node("HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5})
        net.node("Mul", [gate, x])
        return
    moved = net.node("Add", [x, net.constant(np.float32(3.0), exact=True)])
    kept = net.node("Clip", [moved], steer={"min": np.float32(0.0), "max": np.float32(6.0)})
    product = net.node("Mul", [x, kept])
    net.node("Div", [product, net.constant(np.float32(6.0), exact=True)])


def mish(net: Net) -> None:
    x = net.take()
    if net.opset >= 18 and net.coin():
        net.node("Mish", [x])
        return
    net.node("Mul", [x, net.node("Tanh", [net.node("Softplus", [x])])])


def batch_normalization(net: Net) -> None:
    """Folded into what stands before it, or an affine of its own."""
    x = net.take((2, 3, 4, 5))
    channels = net.shape(x)[1]
    require(channels <= 64)
    parts = [net.positive((channels,)), net.weights((channels,), 1), net.weights((channels,), 1)]
    names = [net.constant(part) for part in (*parts, net.positive((channels,)))]
    net.node("BatchNormalization", [x, *names], {"epsilon": 1e-3} if net.coin() else {})


def rsqrt(net: Net) -> None:
    """One over a root, as two nodes or as a power."""
    x = net.bounded(net.take(), 0.05, 9)
    if net.coin():
        net.node("Pow", [x, net.constant(np.float32(-0.5), exact=True)])
        return
    net.node("Reciprocal", [net.node("Sqrt", [x])])


def power(net: Net) -> None:
    """A constant exponent; the base stays positive where the exponent is no whole number."""
    exponent = net.among(2.0, 3.0, 0.5, 1.5, -1.0, -2.0)
    whole = exponent in (2.0, 3.0)
    x = net.bounded(net.take(), -2 if whole else 0.3, 3)
    net.node("Pow", [x, net.constant(np.float32(exponent), exact=True)])


def where(net: Net) -> None:
    """A constant mask between an activation and a constant, or two activations."""
    x = net.take()
    mask = net.constant(np.arange(net.shape(x)[-1]) % 3 == 0, exact=True)
    other = net.node("Neg", [x]) if net.coin() else net.constant(np.float32(0.25), exact=True)
    net.node("Where", [mask, x, other] if net.coin() else [mask, other, x])


POINTWISE: dict[str, Row] = {
    **{op: Row(two_operands(op)) for op in ("Add", "Mul")},
    "Sub": Row(two_operands("Sub", apart=True)),
    "Div": Row(two_operands("Div", positive=True)),
    **{op: Row(unary(op)) for op in ("Relu", "Sigmoid", "Tanh", "Abs", "Neg")},
    "Exp": Row(unary("Exp", low=-4, high=2)),
    "Sqrt": Row(unary("Sqrt", low=0.01, high=9)),
    "Rsqrt": Row(rsqrt),
    "Reciprocal": Row(unary("Reciprocal", low=0.25, high=4)),
    "Log": Row(unary("Log", low=0.05, high=9)),
    "Pow": Row(power),
    "Gelu": Row(unary("Gelu", approximate=("none", "tanh")), since=20),
    "Erf": Row(unary("Erf"), since=9),
    "Selu": Row(unary("Selu", alpha=(1.67, 1.0), gamma=(1.05, 0.7))),
    "Celu": Row(unary("Celu", alpha=(1.0, 0.5, 2.0)), since=12),
    "Softplus": Row(unary("Softplus")),
    "Softsign": Row(unary("Softsign")),
    "ThresholdedRelu": Row(unary("ThresholdedRelu", alpha=(0.25, 0.5)), since=10),
    **{op: Row(two_operands(op)) for op in ("Max", "Min")},
    "Where": Row(where, since=9),
    "Clip": Row(clip),
    "LeakyRelu": Row(unary("LeakyRelu", alpha=(0.01, 0.1, 0.5, -0.25, 1.5))),
    "Elu": Row(unary("Elu", alpha=(1.0, 0.5, 2.0))),
    "PRelu": Row(prelu),
    "HardSigmoid": Row(unary("HardSigmoid", alpha=(0.2, 1 / 6, 0.5), beta=(0.5, 0.25, 0.0))),
    "HardSwish": Row(hard_swish),
    "SiLU": Row(silu),
    "Mish": Row(mish),
    "Softmax": Row(softmax),
    "ArgMax": Row(arg_max),
    "BatchNormalization": Row(batch_normalization),
}
