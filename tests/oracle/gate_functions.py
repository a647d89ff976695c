"""Functions of an LSTM's and a GRU's gates in Python integers, written from docs/arithmetic.md, section 6."""

from __future__ import annotations

import math
from functools import cache


def clamp(v: int, bits: int) -> int:
    return min(max(v, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def rdiv(v: int, n: int) -> int:
    half = (1 << n) >> 1
    return (abs(v) + half >> n) * (1 if v >= 0 else -1)


def half_up(v: int, n: int) -> int:
    return (v + ((1 << n) >> 1)) >> n


def rha(v: float) -> int:
    return int(math.copysign(math.floor(abs(v) + 0.5), v))


def multiplier(real: float) -> tuple[int, int]:
    f, e = math.frexp(real)
    m = rha(f * 2**31)
    if m == 2**31:
        m, e = 2**30, e + 1
    return (0, 0) if m == 0 or e < -31 else (m, e)


def narrow(v: int, real: float) -> int:
    return narrowed(v, *multiplier(real))


def narrowed(v: int, m: int, e: int) -> int:
    w = clamp(clamp(v, 32) << max(e, 0), 32)
    return rdiv((w * m + 2**30) >> 31, max(-e, 0))


def high(a: int, b: int) -> int:
    return clamp((a * b + 2**14) >> 15, 16)


def exp_of(a: int, j: int) -> int:
    f = 15 - j
    p = (a & (2 ** (f - 2) - 1)) - 2 ** (f - 2)
    x = clamp(p << j, 16) + 2**12
    x2 = high(x, x)
    x3, x4 = high(x2, x), high(x2, x2)
    q = rdiv(high(rdiv(x4, 2) + x3, 10923) + x2, 1)
    e = clamp(28918 + high(28918, x + q), 16)
    for b, factor in zip(range(-2, 5), (25520, 19875, 12055, 4435, 600, 11, 0), strict=True):
        if b < j and (p - a) >> (f + b) & 1:
            e = high(e, factor)
    if j > 5 and a < -(32 * 2**f):
        e = 0
    return 32767 if a == 0 else e


def div(e: int) -> int:
    d = (e + 32768) >> 1
    v = 23130 + high(d, -15420)
    for _ in range(3):
        v = v + clamp(high(v, 2**13 - high(d, v)) << 2, 16)
    return v


@cache
def knots() -> list[int]:
    found = []
    for i in range(255):
        f = 1 / (1 + math.exp(-i / 24))
        found.append(round(65536 * (f - f * (1 - f) * (1 - 2 * f) / (16 * 24**2))))
    return [*found, 65535]


def sigma(v: int, wide: bool) -> int:
    if wide:
        w, k = 3 * v, knots()
        a = abs(w)
        r = 32767 << 10 if a >> 9 >= 255 else (k[a >> 9] << 9) + (a & 511) * (k[(a >> 9) + 1] - k[a >> 9])
        return (r + 512) >> 10 if w >= 0 else (2**25 - r + 511) >> 10
    if v == 0:
        return 16384
    positive = clamp(div(exp_of(-abs(v), 3)) << 1, 16)
    return positive if v > 0 else 32767 - positive


def tanh(v: int, bits: int, wide: bool) -> int:
    if wide:
        k = knots()
        w = v * (3 << (bits - 3)) if bits >= 3 else half_up(3 * v, 3 - bits)
        a = abs(w)
        r = 65535 << 8 if a >> 8 >= 255 else (k[a >> 8] << 8) + (a & 255) * (k[(a >> 8) + 1] - k[a >> 8])
        return (r - 2**23 + 128) >> 8 if w >= 0 else (2**23 - r + 127) >> 8
    positive = clamp((div(exp_of(-abs(v), bits + 1)) - 2**13) << 2, 16)
    return 0 if v == 0 else positive if v > 0 else -positive
