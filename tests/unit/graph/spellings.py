"""Activations and LayerNormalization as exporters spell them: nodes for `make_file`, drawn at random where free."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

F32 = np.float32


class Speller:
    """Collects nodes and constants; swaps operands, and turns sums and factors into their inverses, by a draw."""

    def __init__(self, seed, shifted=None):
        self.rng = np.random.default_rng(seed)
        self.shifted = shifted
        self.nodes, self.constants = [], {}

    def constant(self, value):
        """Return the name of a constant; the one with the number `shifted` is another value than asked for."""
        name = f"k{len(self.constants)}"
        if len(self.constants) == self.shifted:
            value = np.asarray(value) * 1.02 + 0.01
        self.constants[name] = np.asarray(value, dtype=F32)
        return name

    def integers(self, values):
        """Return the name of a constant of sizes or axes."""
        name = f"i{len(self.constants)}"
        self.constants[name] = np.array(values, np.int64)
        return name

    def add(self, op, *operands, **attrs):
        names = [item if isinstance(item, str) else self.constant(item) for item in operands]
        if op in {"Add", "Mul", "Max", "Min"} and self.rng.integers(2):
            names.reverse()
        output = f"t{len(self.nodes)}"
        self.nodes.append((op, names, [output], attrs))
        return output

    def plus(self, x, value):
        return self.add("Add", x, value) if self.rng.integers(2) else self.add("Sub", x, -np.asarray(value))

    def times(self, x, value):
        return self.add("Mul", x, value) if self.rng.integers(2) else self.add("Div", x, 1 / np.asarray(value))

    def clip(self, x, lo, hi):
        form = self.rng.integers(3)
        if form == 0:
            return self.add("Min", self.add("Max", x, lo), hi)
        if form == 1 and lo == 0:
            return self.add("Min", self.add("Relu", x), hi)
        return self.add("Clip", x, lo, hi)


def gelu_halved_last(s, x):
    return s.times(s.add("Mul", x, s.plus(s.add("Erf", s.times(x, sqrt(0.5))), 1.0)), 0.5)


def gelu_halved_first(s, x):
    return s.add("Mul", s.times(x, 0.5), s.plus(s.add("Erf", s.times(x, sqrt(0.5))), 1.0))


def gelu_halved_gate(s, x):
    return s.add("Mul", x, s.times(s.plus(s.add("Erf", s.times(x, sqrt(0.5))), 1.0), 0.5))


def _cube(s, x):
    form = s.rng.integers(3)
    if form == 0:
        return s.add("Pow", x, 3.0)
    return s.add("Mul", s.add("Mul", x, x) if form == 1 else s.add("Pow", x, 2.0), x)


def gelu_tanh(s, x):
    inner = s.times(s.add("Add", x, s.times(_cube(s, x), 0.044715)), sqrt(2 / pi))
    gate = s.plus(s.add("Tanh", inner), 1.0)
    form = s.rng.integers(3)
    if form == 0:
        return s.times(s.add("Mul", x, gate), 0.5)
    return s.add("Mul", s.times(x, 0.5), gate) if form == 1 else s.add("Mul", x, s.times(gate, 0.5))


def gelu_tanh_factored(s, x):
    """x (1 + 0.044715 x^2) in the place of x + 0.044715 x^3."""
    inner = s.add("Mul", s.times(x, sqrt(2 / pi)), s.plus(s.times(s.add("Mul", x, x), 0.044715), 1.0))
    return s.add("Mul", s.times(x, 0.5), s.plus(s.add("Tanh", inner), 1.0))


def silu(s, x):
    return s.add("Mul", x, s.add("Sigmoid", x))


def silu_divided(s, x):
    return s.add("Div", x, s.plus(s.add("Exp", s.add("Neg", x)), 1.0))


def hard_swish_factor_last(s, x):
    return s.times(s.add("Mul", x, s.clip(s.plus(x, 3.0), 0.0, 6.0)), 1 / 6)


def hard_swish_factor_inside(s, x):
    return s.add("Mul", x, s.times(s.clip(s.plus(x, 3.0), 0.0, 6.0), 1 / 6))


def hard_swish_factor_first(s, x):
    return s.add("Mul", s.times(x, 1 / 6), s.clip(s.plus(x, 3.0), 0.0, 6.0))


def hard_swish_of_gate(s, x):
    return s.add("Mul", x, s.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def hard_sigmoid_relu6(s, x):
    return s.times(s.clip(s.plus(x, 3.0), 0.0, 6.0), 1 / 6)


def hard_sigmoid_keras(s, x):
    return s.clip(s.plus(s.times(x, 0.2), 0.5), 0.0, 1.0)


def hard_sigmoid_clipped_first(s, x):
    return s.plus(s.times(s.clip(x, -3.0, 3.0), 1 / 6), 0.5)


def softplus_log(s, x):
    return s.add("Log", s.plus(s.add("Exp", x), 1.0))


def softplus_stable(s, x):
    tail = s.add("Log", s.plus(s.add("Exp", s.add("Neg", s.add("Abs", x))), 1.0))
    return s.add("Add", s.add("Max", x, 0.0), tail)


def mish(s, x):
    return s.add("Mul", x, s.add("Tanh", s.add("Softplus", x)))


def mish_spelled(s, x):
    return s.add("Mul", x, s.add("Tanh", softplus_stable(s, x)))


def sigmoid(s, x):
    return s.add("Div", 1.0, s.plus(s.add("Exp", s.add("Neg", x)), 1.0))


def sigmoid_reciprocal(s, x):
    return s.add("Reciprocal", s.plus(s.add("Exp", s.add("Neg", x)), 1.0))


# Operator -> its spellings.
SPELLINGS = {
    "Gelu": (gelu_halved_last, gelu_halved_first, gelu_halved_gate, gelu_tanh, gelu_tanh_factored),
    "SiLU": (silu, silu_divided),
    "HardSwish": (hard_swish_factor_last, hard_swish_factor_inside, hard_swish_factor_first, hard_swish_of_gate),
    "HardSigmoid": (hard_sigmoid_relu6, hard_sigmoid_keras, hard_sigmoid_clipped_first),
    "Softplus": (softplus_log, softplus_stable),
    "Mish": (mish, mish_spelled),
    "Sigmoid": (sigmoid, sigmoid_reciprocal),
}


def _variance(s, centred, axes):
    square = s.add("Mul", centred, centred) if s.rng.integers(2) else s.add("Pow", centred, 2.0)
    return s.add("ReduceMean", square, axes=axes)


def _deviation(s, centred, axes, epsilon):
    return s.add("Sqrt", s.plus(_variance(s, centred, axes), epsilon))


def norm_pytorch(s, x, axes, epsilon, gain, bias):
    centred = s.add("Sub", x, s.add("ReduceMean", x, axes=axes))
    return s.plus(s.add("Mul", s.add("Div", centred, _deviation(s, centred, axes, epsilon)), gain), bias)


def norm_two_subs(s, x, axes, epsilon, gain, bias):
    mean = s.add("ReduceMean", x, axes=axes)
    deviation = _deviation(s, s.add("Sub", x, mean), axes, epsilon)
    return s.plus(s.add("Mul", s.add("Div", s.add("Sub", x, mean), deviation), gain), bias)


def norm_keras(s, x, axes, epsilon, gain, bias):
    """As tf.nn.batch_normalization: x * r + (bias - mean * r) with r = gain / deviation."""
    mean = s.add("ReduceMean", x, axes=axes)
    inverse = s.add("Reciprocal", _deviation(s, s.add("Sub", x, mean), axes, epsilon))
    factor = s.add("Mul", inverse, gain)
    return s.add("Add", s.add("Mul", x, factor), s.add("Sub", bias, s.add("Mul", mean, factor)))


def norm_power(s, x, axes, epsilon, gain, bias):
    centred = s.add("Sub", x, s.add("ReduceMean", x, axes=axes))
    inverse = s.add("Pow", s.plus(_variance(s, centred, axes), epsilon), -0.5)
    return s.plus(s.add("Mul", s.add("Mul", centred, inverse), gain), bias)


def _sum(s, x, axes, *, kept):
    """Return the sum with its axes, or without them and given them back."""
    places = s.integers(axes)
    if kept:
        return s.add("ReduceSum", x, places, keepdims=1)
    return s.add("Unsqueeze", s.add("ReduceSum", x, places, keepdims=0), places)


def norm_jax(s, x, axes, epsilon, gain, bias):
    """As flax: means by sums, the variance as the mean of squares less the square of the mean, not below 0."""
    kept, count = bool(s.rng.integers(2)), float(gain.size)
    mean = s.times(_sum(s, x, axes, kept=kept), 1 / count)
    power = s.times(_sum(s, s.add("Mul", x, x), axes, kept=kept), 1 / count)
    variance = s.add("Max", s.add("Sub", power, s.add("Mul", mean, mean)), 0.0)
    root = s.add("Sqrt", s.plus(variance, epsilon))
    return s.plus(s.add("Mul", s.add("Sub", x, mean), s.add("Mul", s.add("Reciprocal", root), gain)), bias)


NORMS = (norm_pytorch, norm_two_subs, norm_keras, norm_power, norm_jax)


def _largest(s, x, axis, *, kept):
    top = s.add("ReduceMax", x, axes=[axis], keepdims=int(kept))
    return top if kept else s.add("Unsqueeze", top, s.integers([axis]))


def softmax_plain(s, x, axis):
    powers = s.add("Exp", x)
    return s.add("Div", powers, _sum(s, powers, [axis], kept=True))


def softmax_shifted(s, x, axis):
    kept = bool(s.rng.integers(2))
    powers = s.add("Exp", s.add("Sub", x, _largest(s, x, axis, kept=kept)))
    return s.add("Div", powers, _sum(s, powers, [axis], kept=kept))


def softmax_jax(s, x, axis):
    """With a maximum of at least the lowest float32, and the product with a reciprocal."""
    top = s.add("Max", _largest(s, x, axis, kept=False), -3.4028234663852886e38)
    powers = s.add("Exp", s.add("Sub", x, top))
    return s.add("Mul", powers, s.add("Reciprocal", _sum(s, powers, [axis], kept=False)))


SOFTMAXES = (softmax_plain, softmax_shifted, softmax_jax)
