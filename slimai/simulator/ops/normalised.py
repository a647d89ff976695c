"""Steep functions of 16 bits (powers, Log, Div): the leading bit of the input is split off, the rest looked up.

|v| = 2**n * u with 1 <= u < 2. A table of 257 knots over u gives the function of u in 2.30 fixed point by straight
lines; what 2**n does to it, and all scales, are in a multiplier and a shift for each n. The error is that of a line
over 1/256, below 2**-17 of the result for the powers -1 .. 1, and that of the rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.fixed_point import Int, round_half_away

KNOT_BITS = 8
FRACTION_BITS = 30
_PLACE_BITS = 15  # of u: the leading bit and 15 behind it
_EXPONENTS = 17  # of |v| up to 2**16
LARGEST = 1 << 40  # beyond every output
LN2 = round(float(np.log(2.0)) * (1 << FRACTION_BITS))


@dataclass(frozen=True, eq=False)
class Mantissa:
    """knots: a function over u = 1 + i / 256 in 1/2**30, [257]."""

    knots: Int

    @classmethod
    def of(cls, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Mantissa:
        """Return the knots of a function of u, rounded half to even; its values lie in 0 .. 1."""
        places = 1.0 + np.arange((1 << KNOT_BITS) + 1) / (1 << KNOT_BITS)
        return cls(np.rint(function(places) * float(1 << FRACTION_BITS)).astype(np.int64))

    def at(self, magnitude: Int) -> tuple[Int, Int]:
        """Return (the function of u in 1/2**30, n) of integers 1 .. 2**16; what is below 1 counts as 1."""
        whole = np.maximum(magnitude, 1)
        n = np.frexp(whole.astype(np.float64))[1].astype(np.int64) - 1
        place = np.where(n <= _PLACE_BITS, whole << np.maximum(_PLACE_BITS - n, 0), whole >> 1) - (1 << _PLACE_BITS)
        short = _PLACE_BITS - KNOT_BITS
        index, rest = place >> short, place & ((1 << short) - 1)
        slope = self.knots[index + 1] - self.knots[index]
        return self.knots[index] + ((slope * rest + (1 << (short - 1))) >> short), n


@dataclass(frozen=True, eq=False)
class Scales:
    """multiplier, shift: [17], one a leading bit: value -> (value * multiplier + half) >> shift."""

    multiplier: Int
    shift: Int

    @classmethod
    def of(cls, real: NDArray[np.float64]) -> Scales:
        """Return 30-bit multipliers and shifts of factors [17]; vanishing ones are 0, endless ones saturate."""
        fraction, exponent = np.frexp(real)
        multiplier = round_half_away(np.ldexp(fraction, 30)).astype(np.int64)
        shift = 30 - exponent.astype(np.int64)
        vanished, endless = shift > 62, shift < 0
        return cls(np.where(vanished, 0, multiplier), np.where(vanished | endless, 0, shift))

    def apply(self, value: Int, n: Int) -> Int:
        """Return values of up to 32 bits times the factor of their n, rounded half up."""
        shift = self.shift[n]
        half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
        result: Int = (value * self.multiplier[n] + half) >> shift
        return result


@dataclass(frozen=True, eq=False)
class Power:
    """|v|**exponent times a factor, in integers of the output. zero: what v = 0 gives."""

    mantissa: Mantissa
    scales: Scales
    zero: int

    @classmethod
    def of(cls, exponent: float, factor: float) -> Power:
        """Return the power of an integer times `factor`. Knots of rising powers are divided by 2**exponent."""
        rise = max(exponent, 0.0)
        with np.errstate(over="ignore", under="ignore"):
            real = np.exp2(np.arange(_EXPONENTS) * exponent + rise - FRACTION_BITS) * factor
        mantissa = Mantissa.of(lambda u: u**exponent * 2.0**-rise)
        return cls(mantissa, Scales.of(np.minimum(real, 2.0**60)), 0 if exponent > 0 else LARGEST)

    def __call__(self, magnitude: Int) -> Int:
        """Return integers of the output (not clamped) of |v|."""
        looked_up, n = self.mantissa.at(magnitude)
        return np.where(magnitude == 0, self.zero, self.scales.apply(looked_up, n))

    def tables(self) -> dict[str, NDArray[Any]]:
        """Return what the target stores."""
        return {
            "knots": self.mantissa.knots.astype(np.int32),
            "multiplier": self.scales.multiplier.astype(np.int32),
            "shift": self.scales.shift.astype(np.int32),
        }


def signed_power(values: Int, exponent: float, power: Power) -> Int:
    """Return the power of v: odd ones keep the sign, even ones lose it; others take what is negative for 0."""
    if not float(exponent).is_integer():
        return power(np.maximum(values, 0))
    found = power(np.abs(values))
    return np.where(values < 0, -found, found) if exponent % 2 else found


@dataclass(frozen=True, eq=False)
class Logarithm:
    """ln(v s_x) / s_y of integers v >= 1: ((n ln 2 + ln u) * multiplier + offset + half) >> shift, ln in 1/2**30."""

    mantissa: Mantissa
    multiplier: int
    offset: int
    shift: int

    @classmethod
    def of(cls, x_scale: float, y_scale: float) -> Logarithm:
        """Return it with a 25-bit multiplier, so that sum and offset fit 64 bits."""
        fraction, exponent = np.frexp(2.0**-FRACTION_BITS / y_scale)
        shift = int(np.clip(25 - exponent, 0, 62))
        multiplier = int(round_half_away(np.ldexp(fraction, min(int(exponent) + shift, 25))))
        offset = float(np.clip(np.ldexp(np.log(x_scale) / y_scale, shift), -(2.0**61), 2.0**61))
        return cls(Mantissa.of(np.log), multiplier, int(round_half_away(offset)), shift)

    def __call__(self, values: Int) -> Int:
        """Return integers of the output (not clamped); v <= 0 gives the lowest."""
        looked_up, n = self.mantissa.at(values)
        half = (1 << (self.shift - 1)) if self.shift else 0
        found = ((n * LN2 + looked_up) * self.multiplier + self.offset + half) >> self.shift
        return np.where(values <= 0, -LARGEST, found)

    def tables(self) -> dict[str, NDArray[Any]]:
        """Return what the target stores."""
        numbers = np.array([self.multiplier, self.offset, self.shift], np.int64)
        return {"knots": self.mantissa.knots.astype(np.int32), "multiplier_offset_shift": numbers}
