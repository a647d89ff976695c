"""Scalar models in Python integers of the `dsp` recipes, written from docs/arithmetic.md and nothing else."""

from __future__ import annotations

import math
from fractions import Fraction


def rhe(value: float) -> int:
    return round(value)


def rha(value: float) -> int:
    exact = Fraction(value)
    size = math.floor(abs(exact) + Fraction(1, 2))
    return size if exact >= 0 else -size


def half(bits: int) -> int:
    return 1 << (bits - 1) if bits else 0


def clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


class XiSym:
    """p, m, q of one multiplier, and the two rounding shifts."""

    def __init__(self, multiplier: float, bits: int, signed: bool) -> None:
        self.p, self.m, self.q = 0, 0, 0
        if multiplier == 0:
            return
        reach = 2.0 ** (bits - 1 if signed else bits)
        self.p = max(0, math.ceil(math.log2(reach / (multiplier * 32767))))
        self.q = max(q for q in range(256) if rha(multiplier * 2.0 ** (self.p + q)) <= 65535)
        self.m = rha(multiplier * 2.0 ** (self.p + self.q))

    def __call__(self, acc: int) -> int:
        narrow = clamp((acc + half(self.p)) >> self.p, -32768, 32767)
        return (narrow * self.m + half(self.q)) >> self.q


class Single:
    """31-bit multiplier, one rounding."""

    def __init__(self, multiplier: float, _bits: int, _signed: bool) -> None:
        fraction, exponent = math.frexp(multiplier)
        self.m = rha(fraction * 2.0**31)
        if self.m == 1 << 31:
            self.m, exponent = 1 << 30, exponent + 1
        if exponent < -31:
            self.m = 0
        self.t = 31 - exponent

    def __call__(self, acc: int) -> int:
        return (acc * self.m + half(self.t)) >> self.t if self.m else 0


def t31(value: int, multiplier: float) -> int:
    """TFLite's 31-bit multiplier with two roundings, the second half away from zero."""
    fraction, exponent = math.frexp(multiplier)
    m = rha(fraction * 2.0**31)
    if m == 1 << 31:
        m, exponent = 1 << 30, exponent + 1
    if exponent < -31:
        return 0
    high = ((value << max(exponent, 0)) * m + (1 << 30)) >> 31
    size = (abs(high) + half(max(-exponent, 0))) >> max(-exponent, 0)
    return size if high >= 0 else -size


RULES = {"xi_sym": XiSym, "single": Single}


class Quantity:
    """Type, scale and zero point of a tensor, with the clamp of a folded activation."""

    def __init__(self, params, relu_to: float | None = None) -> None:
        self.scale, self.zero = params.scale, params.zero_point
        self.bits, self.signed = params.dtype.bits, params.dtype.signed
        self.low, self.high = params.dtype.low, params.dtype.high
        if relu_to is not None:
            self.low = max(self.low, self.zero)
            if math.isfinite(relu_to):
                self.high = min(self.high, self.zero + rhe(relu_to / self.scale))

    def tail(self, rule: str, multiplier: float):
        """Return the function acc -> y."""
        requantize = RULES[rule](multiplier, self.bits, self.signed)
        return lambda acc: clamp(self.zero + requantize(acc), self.low, self.high)


def conv(rule, x, x_q, weight, weight_scale, bias, y_q, strides, pads, dilations, group):  # noqa: PLR0917
    """Nested lists: x[c][h][w], weight[o][c/g][kh][kw] -> y[o][h][w]."""
    height, width = len(x[0]), len(x[0][0])
    rows, columns = len(weight[0][0]), len(weight[0][0][0])
    out_h = (height + pads[0] + pads[2] - (rows - 1) * dilations[0] - 1) // strides[0] + 1
    out_w = (width + pads[1] + pads[3] - (columns - 1) * dilations[1] - 1) // strides[1] + 1
    share, depth = len(weight) // group, len(weight[0])
    result = []
    for o, kernel in enumerate(weight):
        tail = y_q.tail(rule, x_q.scale * weight_scale[o % len(weight_scale)] / y_q.scale)
        first = (o // share) * depth
        plane = []
        for oy in range(out_h):
            line = []
            for ox in range(out_w):
                acc = bias[o]
                for c in range(depth):
                    for ky in range(rows):
                        for kx in range(columns):
                            iy = oy * strides[0] - pads[0] + ky * dilations[0]
                            ix = ox * strides[1] - pads[1] + kx * dilations[1]
                            if 0 <= iy < height and 0 <= ix < width:
                                acc += (x[first + c][iy][ix] - x_q.zero) * kernel[c][ky][kx]
                line.append(tail(acc))
            plane.append(line)
        result.append(plane)
    return result


def conv_transpose(rule, x, x_q, weight, weight_scale, bias, y_q, stride):
    """weight[c][o][kh][kw], no padding; every input pixel adds its kernel to the output."""
    height, width, rows, columns = len(x[0]), len(x[0][0]), len(weight[0][0]), len(weight[0][0][0])
    out_h, out_w = (height - 1) * stride + rows, (width - 1) * stride + columns
    result = []
    for o in range(len(weight[0])):
        acc = [[bias[o]] * out_w for _ in range(out_h)]
        for c in range(len(x)):
            for iy in range(height):
                for ix in range(width):
                    for ky in range(rows):
                        for kx in range(columns):
                            product = (x[c][iy][ix] - x_q.zero) * weight[c][o][ky][kx]
                            acc[iy * stride + ky][ix * stride + kx] += product
        tail = y_q.tail(rule, x_q.scale * weight_scale[o % len(weight_scale)] / y_q.scale)
        result.append([[tail(value) for value in line] for line in acc])
    return result


def dense(rule, x, x_q, weight, weight_scale, bias, y_q):
    """x[k], weight[o][k] -> y[o]."""
    result = []
    for o, row in enumerate(weight):
        acc = bias[o] + sum((a - x_q.zero) * b for a, b in zip(x, row, strict=True))
        result.append(y_q.tail(rule, x_q.scale * weight_scale[o % len(weight_scale)] / y_q.scale)(acc))
    return result


def add(rule, a, a_q, b, b_q, y_q, sign=1):
    """Flat lists."""
    ratios = a_q.scale / y_q.scale, b_q.scale / y_q.scale
    t = max(t for t in range(256) if rha(max(ratios) * 2.0**t) <= 65535)
    ka, kb = (rha(ratio * 2.0**t) for ratio in ratios)
    tail = y_q.tail(rule, 2.0**-t)
    return [tail((u - a_q.zero) * ka + sign * (v - b_q.zero) * kb) for u, v in zip(a, b, strict=True)]


def mul(rule, a, a_q, b, b_q, y_q):
    tail = y_q.tail(rule, a_q.scale * b_q.scale / y_q.scale)
    return [tail((u - a_q.zero) * (v - b_q.zero)) for u, v in zip(a, b, strict=True)]


def squared_difference(rule, a, a_q, b, b_q, y_q):
    """TFLite's under every rule."""
    del rule
    left = 0 if max(q.high - q.low for q in (a_q, b_q)) > 255 else 7
    double = 2.0 * max(a_q.scale, b_q.scale)

    def brought(v, q):
        return t31((v - q.zero) << left, q.scale / double)

    real = double * double / ((1 << 2 * left) * y_q.scale)
    pairs = ((brought(u, a_q), brought(v, b_q)) for u, v in zip(a, b, strict=True))
    return [clamp(y_q.zero + t31((u - v) ** 2, real), y_q.low, y_q.high) for u, v in pairs]


def chosen(choose, rule, a, a_q, b, b_q, y_q):
    """Both operands on the output's scale (as they are where they have it), and choose(a, b, place)."""

    def brought(values, q):
        same = (q.scale, q.zero, q.bits, q.signed) == (y_q.scale, y_q.zero, y_q.bits, y_q.signed)
        return values if same else requantize(rule, values, q, y_q)

    pairs = zip(brought(a, a_q), brought(b, b_q), strict=True)
    return [clamp(choose(u, v, place), y_q.low, y_q.high) for place, (u, v) in enumerate(pairs)]


def average(rule, windows, x_q, y_q):
    """windows: lists of the pixels of each window; padding is not in them."""
    return [
        y_q.tail(rule, x_q.scale / (y_q.scale * len(window)))(sum(v - x_q.zero for v in window)) for window in windows
    ]


def requantize(rule, x, x_q, y_q):
    tail = y_q.tail(rule, x_q.scale / y_q.scale)
    return [tail(v - x_q.zero) for v in x]


def prelu(rule, x, x_q, slope, slope_scale, y_q):
    keep, other = y_q.tail(rule, x_q.scale / y_q.scale), y_q.tail(rule, x_q.scale * slope_scale / y_q.scale)
    return [keep(v - x_q.zero) if v >= x_q.zero else other((v - x_q.zero) * s) for v, s in zip(x, slope, strict=True)]


def knots(function, x_scale, y_scale, bits):
    """513 integers over -reach .. reach; rounding is half away. A knot is lowered where its step is inside 16 bits."""
    reach = 1 << (15 - bits)
    low, step, unit = x_scale * -reach, x_scale * reach / 256, 1 / y_scale
    found = []
    for i in range(512):
        here, middle, after = (function(low + at * step) for at in (i, i + 0.5, i + 1))
        line = rha((after * unit + rha(here * unit)) / 2)
        inside = abs(after * unit) <= 32767 and abs(rha(middle * unit)) <= 32767
        lowered = rha((line - rha(middle * unit)) / 2) if inside else 0
        found.append(clamp(rha(here * unit) - lowered, -32768, 32767))
    return [*found, clamp(rha(function(x_scale * reach) * unit), -32768, 32767)]


def slopes(function, x_scale, y_scale, bits):
    """(below, above, shift) of the lines outside, or None where they are too steep."""
    reach = 1 << (15 - bits)
    a, b, c, d = (function(v * x_scale) / y_scale for v in (-32768, -reach, reach, 32767))
    below, above = (b - a) / (32768 - reach), (d - c) / (32767 - reach)
    shift = min(30, 29 - math.frexp(max(abs(below), abs(above)))[1])
    return (rha(below * 2.0**shift), rha(above * 2.0**shift), shift) if shift > 0 else None


def line(table, outside, bits, v):
    reach, step = 1 << (15 - bits), 1 << (7 - bits)
    if bits and v >= reach:
        return table[512] + (((v - reach) * outside[1] + half(outside[2])) >> outside[2])
    if bits and v < -reach:
        return table[0] + (((v + reach) * outside[0] + half(outside[2])) >> outside[2])
    i, place = divmod(v + reach, step)
    return table[i] + (((table[i + 1] - table[i]) * place + step // 2) >> (7 - bits))


def widths(function, x_scale, y_scale):
    """(largest error over every fifth integer, bits, knots, slopes) of each width whose lines can be stored.

    Integers from which the function is beyond 16 bits, or is so 128 integers on, do not count.
    """
    real = {v: function(v * x_scale) / y_scale for v in range(-32768 - 130, 32768 + 130)}
    at = [v for v in range(-32768, 32768, 5) if all(abs(real[v + apart]) <= 32767 for apart in (-128, 0, 128))]
    for bits in range(7):
        outside = slopes(function, x_scale, y_scale, bits) if bits else ()
        if outside is not None:
            table = knots(function, x_scale, y_scale, bits)
            found = {v: clamp(line(table, outside, bits, v), -32768, 32767) for v in at}
            yield max((abs(found[v] - real[v]) for v in at), default=0.0), bits, table, outside


def looked_up(function, x, x_q, y_q):
    y_scale = y_q.scale if y_q.bits == 16 else y_q.scale / 128
    _, bits, table, outside = min(widths(function, x_q.scale, y_scale), key=lambda item: item[:2])
    values = [line(table, outside, bits, v) for v in x]
    if y_q.bits == 16:
        return [clamp(value, y_q.low, y_q.high) for value in values]
    return [clamp(y_q.zero + ((value + 64) >> 7), y_q.low, y_q.high) for value in values]


def rescaled(change, rule, x, x_q, y_q):
    """Of Abs, Neg and the like: change(x - z_x) on the output's scale."""
    tail = y_q.tail(rule, x_q.scale / y_q.scale)
    return [tail(change(v - x_q.zero)) for v in x]


def mantissa(function, v):
    """(function of u in 1/2^30 by lines between 257 knots, n) of v = 2^n u."""
    n = v.bit_length() - 1
    place = (v << (15 - n) if n <= 15 else v >> 1) - (1 << 15)
    here, after = (rhe(function(1 + at / 256) * 2.0**30) for at in (place >> 7, (place >> 7) + 1))
    return here + (((after - here) * (place & 127) + 64) >> 7), n


def power(exponent, x, x_q, y_q):
    """v^p s_x^p / s_y of integers v; 0 and what is below has the limit from above."""
    rise, found = max(exponent, 0.0), []
    for value in x:
        v = value - x_q.zero
        sign = -1 if exponent % 2 == 1 and v < 0 else 1
        v = abs(v) if exponent == int(exponent) else max(v, 0)
        if v == 0:
            found.append(0 if exponent > 0 else 1 << 40)
            continue
        looked_up, n = mantissa(lambda u: u**exponent * 2.0**-rise, v)
        fraction, e = math.frexp(min(2.0 ** (n * exponent + rise - 30) * (x_q.scale**exponent / y_q.scale), 2.0**60))
        m, t = rha(fraction * 2**30), 30 - e
        m, t = (0, 0) if t > 62 else (m, max(t, 0))
        found.append(sign * ((looked_up * m + half(t)) >> t))
    return [clamp(y_q.zero + y, y_q.low, y_q.high) for y in found]


def quotient(_rule, a, a_q, b, b_q, y_q):
    found = []
    for first, second in zip(a, b, strict=True):
        u, v = first - a_q.zero, second - b_q.zero
        if v == 0:
            found.append(0 if u == 0 else (1 << 40) * (1 if u > 0 else -1))
            continue
        reciprocal, n = mantissa(lambda x: 1 / x, abs(v))
        factor = 2.0 ** (15 - 30 - n) * (a_q.scale / b_q.scale / y_q.scale)
        fraction, e = math.frexp(min(factor, 2.0**60))
        m, t = rha(fraction * 2**30), 30 - e
        m, t = (0, 0) if t > 62 else (m, max(t, 0))
        size = (((abs(u) * reciprocal + (1 << 14)) >> 15) * m + half(t)) >> t
        found.append(-size if (u < 0) != (v < 0) else size)
    return [clamp(y_q.zero + y, y_q.low, y_q.high) for y in found]


def logarithm(x, x_q, y_q):
    fraction, e = math.frexp(2.0**-30 / y_q.scale)
    t = 25 - e
    m, offset = rha(fraction * 2**25), rha(math.ldexp(math.log(x_q.scale) / y_q.scale, t))
    found = []
    for value in x:
        v = value - x_q.zero
        looked_up, n = mantissa(math.log, max(v, 1))
        y = ((n * rhe(math.log(2) * 2**30) + looked_up) * m + offset + half(t)) >> t
        found.append(clamp(y_q.zero + y, y_q.low, y_q.high) if v > 0 else y_q.low)
    return found


def pointwise(function, x, x_q, y_q):
    if x_q.bits == 16:
        return looked_up(function, x, x_q, y_q)
    return [clamp(y_q.zero + rhe(function(x_q.scale * (v - x_q.zero)) / y_q.scale), y_q.low, y_q.high) for v in x]


def softmax(x, x_q, y_q):
    bits = 30 if x_q.bits > 8 or len(x) > 1024 else min(23, 30 - math.ceil(math.log2(len(x))))
    top = max(x)
    powers = [rhe(math.exp(-(top - v) * x_q.scale) * 2.0**bits) for v in x]
    fraction, total = rhe(256 / y_q.scale), sum(powers)
    return [
        clamp(y_q.zero + (e * fraction + 128 * total) // (256 * total), y_q.low, y_q.high) for e in powers
    ]  # fmt: skip


def normalized(row, x_q, gain, bias, epsilon, y_q, every=None):
    """One row; gain and bias: reals of each element; every: of all rows, where they differ."""
    size, reach = len(row), 2**x_q.bits - 1
    e2 = min(size * epsilon / x_q.scale**2, 2.0**61)
    f = max(0, 62 - (max(size * reach**2, size**2) + math.floor(e2) + 1).bit_length())
    added, p = rhe(e2 * 2.0**f), max(0, (size * reach).bit_length() - 31)
    mu, e = math.sqrt(2.0**f / size), 0
    while mu >= 2:
        mu, e = mu / 2, e + 1
    while mu < 1:
        mu, e = mu * 2, e - 1
    g = 23 - math.ceil(math.ceil(math.log2(size)) / 2)

    def factor(real, t):
        return rha(real * mu / y_q.scale * 2.0 ** (t - g))

    def offset(real, t):
        return rha(real / y_q.scale * 2.0**t)

    w_most, v_most = (max(map(abs, reals)) for reals in every or (gain, bias))
    t = max(t for t in range(61) if factor(w_most, t) < 2**31 and offset(v_most, t) < 2**60)
    factors, offsets = [factor(real, t) for real in gain], [offset(real, t) for real in bias]
    a = sum(row) // size
    r, c = sum(row) - a * size, [x - a for x in row]
    w = (sum(v * v for v in c) << f) - ((r * r << f) // size) + added
    h = (62 - w.bit_length()) // 2 * 2
    root = math.isqrt(w << h)
    inverse = 2**61 // root if root else 0
    u = clamp(61 - p - e - g - h // 2, 0, 62)
    n = [(((size * v - r + half(p)) >> p) * inverse + half(u)) >> u for v in c]
    assert max(map(abs, [w, *n])) < 2**62
    return [
        clamp(y_q.zero + ((v * k + b + half(t)) >> t), y_q.low, y_q.high)
        for v, k, b in zip(n, factors, offsets, strict=True)
    ]


def root_of_squares(part, x_q, y_q):
    total = sum((v - x_q.zero) ** 2 for v in part)
    h = (62 - total.bit_length()) // 2 * 2
    fraction, e = math.frexp(x_q.scale / y_q.scale)
    m = rha(fraction * 2.0**31)
    if m == 1 << 31:
        m, e = 1 << 30, e + 1
    t = 31 - e + h // 2
    value = 0 if t > 62 else (math.isqrt(total << h) * m + half(t)) >> t
    return clamp(y_q.zero + value, y_q.low, y_q.high)


# Operator of one element -> (its function, attributes to test it with).
FUNCTIONS = {
    "Sigmoid": (lambda v: 1 / (1 + math.exp(-v)), {}),
    "Tanh": (math.tanh, {}),
    "HardSigmoid": (lambda v: min(max(0.2 * v + 0.5, 0), 1), {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": (lambda v: v * min(max(v + 3, 0), 6) / 6, {}),
    "SiLU": (lambda v: v / (1 + math.exp(-v)), {}),
    "Mish": (lambda v: v * math.tanh(math.log1p(math.exp(v))), {}),
    "Elu": (lambda v: v if v >= 0 else 0.7 * math.expm1(v), {"alpha": 0.7}),
    "Selu": (lambda v: 1.05 * (v if v >= 0 else 1.67 * math.expm1(v)), {"alpha": 1.67, "gamma": 1.05}),
    "Celu": (lambda v: max(v, 0.0) + min(0.0, 0.7 * math.expm1(v / 0.7)), {"alpha": 0.7}),
    "Gelu": (lambda v: 0.5 * v * math.erfc(-v * math.sqrt(0.5)), {"approximate": "none"}),
    "Erf": (math.erf, {}),
    "Exp": (math.exp, {}),
    "Softplus": (lambda v: max(v, 0) + math.log1p(math.exp(-abs(v))), {}),
    "Softsign": (lambda v: v / (1 + abs(v)), {}),
    "LeakyRelu": (lambda v: v if v >= 0 else 0.1 * v, {"alpha": 0.1}),
}
