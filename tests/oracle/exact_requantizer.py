"""Requantization without error: floor(acc * M + 1/2) with M the exact value of the double, in exact integers.

It stands in for a preset's arithmetic, to show what rounded multipliers cost, and is part of no product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimai.simulator import context, rows
from slimai.simulator.ops import elementwise
from slimai.simulator.requantize import SINGLE, Requantizer

LOW_BITS = 27


def round_half_up(acc, real):
    """Return floor(acc * real + 1/2) of int64 acc [..., C] and doubles real [C], exactly.

    real = m * 2**-s with a 53-bit m = high * 2**27 + low, so that products of |acc| < 2**36 fit 63 bits. A single
    power of two takes any acc.
    """
    fraction, exponent = np.frexp(real)
    if real.size == 1 and fraction[0] == 0.5:
        shift = 1 - int(exponent[0])
        return acc << -shift if shift <= 0 else ((acc >> (shift - 1)) + 1) >> 1
    assert np.abs(acc).max(initial=0) < 1 << 36
    multiplier, shift = np.ldexp(fraction, 53).astype(np.int64), 53 - exponent.astype(np.int64)
    assert np.all(shift > LOW_BITS)
    high, low = multiplier >> LOW_BITS, multiplier & ((1 << LOW_BITS) - 1)
    doubled = (acc * high + ((acc * low) >> LOW_BITS)) >> np.minimum(shift - 1 - LOW_BITS, 63)
    return (doubled + 1) >> 1


@dataclass(frozen=True, eq=False)
class ExactRequantizer(Requantizer):
    def raw(self, acc):
        return round_half_up(acc.astype(np.int64), self.real)


def build_exact(rule, multiplier, out, where, limits=None):
    real = np.atleast_1d(np.asarray(multiplier, np.float64))
    low, high = limits if limits is not None else (out.dtype.low, out.dtype.high)
    nothing = np.zeros(real.size, np.int64)
    return ExactRequantizer(rule, out, low, high, nothing, nothing, nothing, real)


def exact_weights(a, b, out, where):
    """Return (ka, kb, t) : s_a / s_y * 2**t and s_b / s_y * 2**t, integers of at most 53 bits."""
    ratios = (a.scale / out.scale, b.scale / out.scale)
    shift = 53 - int(np.frexp(max(ratios))[1])
    return *(int(np.rint(np.ldexp(ratio, shift))) for ratio in ratios), shift


def make_exact(monkeypatch) -> str:
    """Put the exact requantizer in the place of every other; return the preset whose operator recipes to use."""
    monkeypatch.setattr(context, "build_requantizer", build_exact)
    monkeypatch.setattr(rows, "fast_kernel", lambda *_: None)
    monkeypatch.setattr(elementwise, "common_weights", exact_weights)
    monkeypatch.setattr(context.LayerContext, "accumulator_bits", lambda _: 64)
    return SINGLE.name
