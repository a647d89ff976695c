"""Functions and layers in the spellings of exporters, which the front end recognizes as one operator or folds into one.

The parts of a spelling are private to it, so that it can be recognized; now and then another row reads one of them too.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

import numpy as np
from hypothesis import strategies as st
from net_builder import Net
from net_row import Make, Row, require, window

_FOLDED = ("Mul", "Add", "Sub", "Div", "BatchNormalization")


def spelled(function: Callable[[Net, str], str], *, low: float | None = None, high: float | None = None) -> Make:
    """Return the maker of a function of one tensor.

    low, high: where float32 computes the spelling to six digits: 1 + tanh(x) loses them where it is nearly 0.
    """

    def make(net: Net) -> None:
        x = net.take()
        x = x if low is None or high is None else net.bounded(x, low, high)
        private(net, lambda: function(net, x))

    return make


def private(net: Net, build: Callable[[], str]) -> str:
    """Return the tensor that `build` returns; what it made before that is read by nothing else, but for one in four."""
    before = set(net.live)
    found = build()
    if not net.rare(4):
        net.live = [name for name in net.live if name in before or name == found or name in net.inputs]
    return found


def number(net: Net, value: float) -> str:
    """Return a constant of one element."""
    return net.constant(np.full(net.among((), (), (1,)), value, np.float32), exact=True)


def either_way(net: Net, op: str, a: str, b: str) -> str:
    """Return a node of an operator whose operands may change places."""
    return net.node(op, [a, b] if net.coin() else [b, a])


def _times(net: Net, x: str, factor: float) -> str:
    """Return x times a number, as a product or a quotient."""
    if net.coin():
        return net.node("Div", [x, number(net, 1 / factor)])
    return either_way(net, "Mul", x, number(net, factor))


def sigmoid(net: Net, x: str) -> str:
    """1 / (1 + exp(-x)), or by tanh."""
    if net.rare(3):
        bent = net.node("Tanh", [_times(net, x, 0.5)])
        return _times(net, either_way(net, "Add", bent, number(net, 1.0)), 0.5)
    below = either_way(net, "Add", net.node("Exp", [net.node("Neg", [x])]), number(net, 1.0))
    return net.node("Reciprocal", [below]) if net.coin() else net.node("Div", [number(net, 1.0), below])


def softplus(net: Net, x: str) -> str:
    """log(1 + exp(x)), or max(x, 0) + log(1 + exp(-|x|))."""
    if net.coin():
        return net.node("Log", [either_way(net, "Add", net.node("Exp", [x]), number(net, 1.0))])
    small = net.node("Exp", [net.node("Neg", [net.node("Abs", [x])])])
    rest = net.node("Log", [either_way(net, "Add", small, number(net, 1.0))])
    return either_way(net, "Add", net.node("Relu", [x]), rest)


def silu(net: Net, x: str) -> str:
    """x sigmoid(x), or x / (1 + exp(-x))."""
    if net.coin():
        below = either_way(net, "Add", net.node("Exp", [net.node("Neg", [x])]), number(net, 1.0))
        return net.node("Div", [x, below])
    return either_way(net, "Mul", x, sigmoid(net, x))


def mish(net: Net, x: str) -> str:
    """x tanh(log(1 + exp(x)))."""
    return either_way(net, "Mul", x, net.node("Tanh", [softplus(net, x)]))


def hard_sigmoid(net: Net, x: str) -> str:
    """clip(x + 3, 0, 6) / 6."""
    return _times(net, _clipped_sum(net, x), 1 / 6)


def hard_swish(net: Net, x: str) -> str:
    """x clip(x + 3, 0, 6) / 6, in any order."""
    kept = _clipped_sum(net, x)
    if net.coin():
        return either_way(net, "Mul", x, _times(net, kept, 1 / 6))
    return _times(net, either_way(net, "Mul", x, kept), 1 / 6)


def _clipped_sum(net: Net, x: str) -> str:
    moved = either_way(net, "Add", x, number(net, 3.0))
    if net.opset >= 8 and net.rare(3):
        return either_way(net, "Min", net.node("Relu", [moved]), number(net, 6.0))
    return net.bounded(moved, 0.0, 6.0)


def gelu(net: Net, x: str) -> str:
    """x / 2 (1 + erf(x / sqrt 2)), in the orders of exporters."""
    one = either_way(net, "Add", net.node("Erf", [_times(net, x, sqrt(0.5))]), number(net, 1.0))
    if net.coin():
        return _times(net, either_way(net, "Mul", x, one), 0.5)
    return either_way(net, "Mul", _times(net, x, 0.5), one)


def gelu_tanh(net: Net, x: str) -> str:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    inner = either_way(net, "Add", x, either_way(net, "Mul", _cube(net, x), number(net, 0.044715)))
    bent = net.node("Tanh", [_times(net, inner, sqrt(2 / pi))])
    one = either_way(net, "Add", bent, number(net, 1.0))
    return either_way(net, "Mul", _times(net, x, 0.5), one)


def _cube(net: Net, x: str) -> str:
    return net.node("Pow", [x, number(net, 3.0)]) if net.coin() else either_way(net, "Mul", net.node("Mul", [x, x]), x)


def quick_gelu(net: Net, x: str) -> str:
    """x sigmoid(1.702 x), which is another function than GELU."""
    return either_way(net, "Mul", x, net.node("Sigmoid", [either_way(net, "Mul", x, number(net, 1.702))]))


def leaky_relu(net: Net, x: str) -> str:
    """relu(x) - slope relu(-x), the slope one number or one a channel."""
    shape = net.shape(x)
    sizes = (shape[1], *(1,) * (len(shape) - 2)) if len(shape) > 1 and net.coin() else ()
    slope = net.constant(net.positive(sizes, 0.05, 0.6), exact=True)
    below = net.node("Relu", [net.node("Neg", [x])])
    return net.node("Sub", [net.node("Relu", [x]), either_way(net, "Mul", below, slope)])


def _mean(net: Net, x: str, axes: list[int]) -> str:
    return net.node("ReduceMean", [x], {"keepdims": 1}, steer={"axes": axes})


def _reduced(net: Net, op: str, x: str, axes: list[int]) -> str:
    """Return a reduction with its axes, or without them and given them back."""
    if net.coin():
        return net.node(op, [x], {"keepdims": 1}, steer={"axes": axes})
    return net.node("Unsqueeze", [net.node(op, [x], {"keepdims": 0}, steer={"axes": axes})], steer={"axes": axes})


def _square(net: Net, x: str) -> str:
    return net.node("Pow", [x, number(net, 2.0)]) if net.coin() else net.node("Mul", [x, x])


def _over_root(net: Net, x: str, power: str, epsilon: float) -> str:
    """Return x / sqrt(power + epsilon)."""
    root = net.node("Sqrt", [either_way(net, "Add", power, number(net, epsilon))])
    if net.coin():
        return net.node("Div", [x, root])
    return either_way(net, "Mul", x, net.node("Reciprocal", [root]))


def layer_norm(net: Net) -> None:
    """LayerNormalization over the last axes, or over the channels of pixels, with a gain and a bias, or without."""
    x = net.take((2, 3, 4, 5))
    shape = net.shape(x)
    rank = len(shape)
    axes = [1] if rank > 2 and net.rare(3) else list(range(net.integer(1, rank - 1), rank))
    require(int(np.prod([shape[axis] for axis in axes])) > 2)  # of two values only a sign is left
    row = tuple(shape[axis] if axis in axes else 1 for axis in range(axes[0], rank))

    def build() -> str:
        if net.rare(3):  # as JAX writes it: by sums, the variance as a difference of squares
            mean, squares = (
                net.node("Div", [_reduced(net, "ReduceSum", item, axes), number(net, float(np.prod(row)))])
                for item in (x, _square(net, x))
            )
            centred, lowest = net.node("Sub", [x, mean]), number(net, 0.0)
            power = net.node("Max", [net.node("Sub", [squares, net.node("Mul", [mean, mean])]), lowest])
        else:
            centred = net.node("Sub", [x, _mean(net, x, axes)])
            power = _mean(net, _square(net, centred), axes)
        y = _over_root(net, centred, power, net.among(1e-5, 1e-3, 0.1))
        if not net.rare(4):
            y = either_way(net, "Mul", y, net.constant(net.positive(row)))
            y = either_way(net, "Add", y, net.constant(net.weights(row, terms=1)))
        return y

    private(net, build)


def rms_norm(net: Net) -> None:
    """x / sqrt(mean x^2 + epsilon) over the last axis, times a gain: no operator of its own, so in its parts."""
    x = net.take((2, 3, 4))
    shape = net.shape(x)
    axis = len(shape) - 1
    require(shape[-1] > 2)

    def build() -> str:
        y = _over_root(net, x, _mean(net, _square(net, x), [axis]), net.among(1e-3, 0.1))
        return either_way(net, "Mul", y, net.constant(net.positive((shape[-1],))))

    private(net, build)


def group_norm(net: Net) -> None:
    """GroupNormalization as PyTorch exports it."""
    x = net.take((3, 4, 5))
    shape = net.shape(x)
    groups = net.among(*[n for n in range(1, shape[1] + 1) if shape[1] % n == 0])
    require(int(np.prod(shape[1:])) // groups > 2)
    channels = (shape[1], *(1,) * (len(shape) - 2))

    def build() -> str:
        rows = net.node("Reshape", [x], steer={"shape": [0, groups, -1]})
        ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
        norm = net.node("InstanceNormalization", [rows, net.constant(ones), net.constant(zeros, exact=True)])
        back = net.node("Reshape", [norm], steer={"shape": [0, *shape[1:]]})
        scaled = either_way(net, "Mul", back, net.constant(net.positive(channels)))
        return either_way(net, "Add", scaled, net.constant(net.weights(channels, terms=1)))

    private(net, build)


def softmax(net: Net) -> None:
    """Softmax of rows with a mask in front, or flattened to a matrix, or in its parts."""
    x = net.take((2, 3, 4))
    shape = net.shape(x)
    last = len(shape) - 1
    form = net.among("added", "chosen", "flat", "parts")
    shut = np.arange(shape[-1]) % 3 == 1
    lowest = net.among(-1e4, -1e9, -3.4028234663852886e38)

    def build() -> str:
        if form == "added":
            masked = either_way(net, "Add", x, net.constant(np.where(shut, lowest, 0).astype(np.float32), exact=True))
            return net.node("Softmax", [masked], {"axis": last})
        if form == "chosen":
            shade = net.constant(np.float32(lowest), exact=True)
            masked = net.node("Where", [net.constant(shut, exact=True), shade, x])
            return net.node("Softmax", [masked], {"axis": last})
        if form == "flat":
            rows = net.node("Reshape", [x], steer={"shape": [-1, shape[-1]]})
            return net.node("Reshape", [net.node("Softmax", [rows], {"axis": 1})], steer={"shape": list(shape)})
        powers = net.node("Exp", [net.node("Sub", [x, _reduced(net, "ReduceMax", x, [last])])])
        total = _reduced(net, "ReduceSum", powers, [last])
        if net.coin():
            return net.node("Div", [powers, total])
        return either_way(net, "Mul", powers, net.node("Reciprocal", [total]))

    require(form != "flat" or net.batch != "open")
    require(form != "chosen" or net.opset >= 9)
    private(net, build)


def folded(net: Net) -> None:
    """A convolution between what folds into it: a Pad or Gather of channels, then a sum, factor, norm and clamp."""
    x = net.take((3, 4, 4, 5))
    private(net, lambda: _after_layer(net, _layer(net, _before_layer(net, x))))


def _before_layer(net: Net, x: str) -> str:
    shape = net.shape(x)
    form = net.among("pad", "gather", "none")
    if form == "pad":
        pads = [0, 0, *(net.integer(0, 2) for _ in shape[2:])]
        return net.node("Pad", [x], {"mode": "constant"}, steer={"pads": pads * 2})
    if form == "gather":
        order = np.array(net.rng.permutation(shape[1]), np.int64)
        return net.node("Gather", [x, net.constant(order, exact=True)], {"axis": 1})
    return x


def _layer(net: Net, x: str) -> str:
    shape = net.shape(x)
    attrs = window(net, shape[2:], dilated=False)
    kernel = attrs["kernel_shape"]
    if net.rare(3):
        attrs.pop("auto_pad", "")
        return net.node("ConvTranspose", [x, net.constant(net.weights((shape[1], 3, *kernel), terms=shape[1]))], attrs)
    if attrs.get("auto_pad", "").startswith("SAME"):
        net.on_host("Conv", "no integer kernel")  # windows that ONNX Runtime lets begin inside
    return net.node("Conv", [x, net.constant(net.weights((net.integer(1, 4), shape[1], *kernel)))], attrs)


def _after_layer(net: Net, x: str) -> str:
    channels = net.shape(x)[1]
    sizes = (channels, *(1,) * (len(net.shape(x)) - 2))
    for form in net.drawn(st.lists(st.sampled_from(_FOLDED), max_size=2, unique=True)):
        if form == "BatchNormalization":
            parts = [net.positive((channels,)), net.weights((channels,), 1), net.weights((channels,), 1)]
            x = net.node(form, [x, *(net.constant(part) for part in (*parts, net.positive((channels,))))])
            continue
        shape = net.among(sizes, (1, *sizes), ())
        scaled = form in {"Mul", "Div"}
        value = net.constant(net.positive(shape) if scaled else net.weights(shape, terms=1), exact=scaled)
        x = net.node(form, [x, value])
    clamp = net.among("none", "Relu", "Clip")
    return x if clamp == "none" else net.node("Relu", [x]) if clamp == "Relu" else net.bounded(x, 0.0, 6.0)


def row_product(net: Net) -> None:
    """MatMul and Add of a row: a Gemm where there are two axes."""
    x = net.take((2, 3, 4))
    inner, columns = net.shape(x)[-1], net.integer(1, 8)

    def build() -> str:
        product = net.node("MatMul", [x, net.constant(net.weights((inner, columns), terms=inner))])
        return either_way(net, "Add", product, net.constant(net.weights((columns,), terms=1)))

    private(net, build)


SPELLED: dict[str, Row] = {
    "Sigmoid in parts": Row(spelled(sigmoid, low=-3, high=9)),
    "Softplus in parts": Row(spelled(softplus, low=-3, high=9)),
    "SiLU in parts": Row(spelled(silu, low=-3, high=9)),
    "Mish in parts": Row(spelled(mish, low=-3, high=9)),
    "HardSigmoid in parts": Row(spelled(hard_sigmoid)),
    "HardSwish in parts": Row(spelled(hard_swish)),
    "Gelu in parts": Row(spelled(gelu, low=-3, high=9), since=9),
    "Gelu by tanh in parts": Row(spelled(gelu_tanh, low=-3, high=9)),
    "x sigmoid(1.702 x)": Row(spelled(quick_gelu)),
    "PRelu in parts": Row(spelled(leaky_relu)),
    "LayerNormalization in parts": Row(layer_norm),
    "RMSNorm in parts": Row(rms_norm),
    "GroupNormalization in parts": Row(group_norm),
    "Softmax with a mask or in parts": Row(softmax),
    "Layer between what folds into it": Row(folded),
    "MatMul and Add": Row(row_product),
}
