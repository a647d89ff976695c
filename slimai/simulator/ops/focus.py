"""Functions of 16-bit integers that are straight but for a middle part: all knots lie there, lines go on outside.

With knots over all integers an input that reaches 240 has them 0.94 apart, where the bend of HardSwish or SiLU is 6 to
20 wide: 46 dB are left. Each halving of the part that the knots cover divides the error of its chords by 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import S16
from slimai.simulator.fixed_point import Int, round_half_away
from slimai.simulator.ops.knots import ENDLESS, STEPS, Function, place_knots

MOST_BITS = 6  # two integers are between neighbouring knots then
_SLOPE_BITS = 29
_EVERY = 5  # of the integers, those that a choice is measured on


@dataclass(frozen=True)
class Focus:
    """A function as 513 knots over the integers -reach .. reach, reach = 2**(15 - bits), and a line on either side.

    slopes: of the lines below and above, in 2**-shift units of the result an integer.
    """

    bits: int
    knots: Int
    slopes: tuple[int, int] = (0, 0)
    shift: int = 0

    @property
    def reach(self) -> int:
        """The integer of the last knot; the first one's is its negative."""
        return 1 << (15 - self.bits)

    def __call__(self, values: Int) -> Int:
        """Return the function of integers in [-32768, 32767], not saturated."""
        step_bits = 7 - self.bits
        inside = np.clip(values, -self.reach, self.reach - 1)
        index = STEPS // 2 + (inside >> step_bits)
        slope = self.knots[index + 1] - self.knots[index]
        line = slope * (inside & ((1 << step_bits) - 1)) + ((1 << step_bits) >> 1)
        result: Int = self.knots[index] + (line >> step_bits)
        if self.bits:
            above, below = values - self.reach, values + self.reach
            result = np.where(above >= 0, self.knots[-1] + self._outside(above, self.slopes[1]), result)
            result = np.where(below < 0, self.knots[0] + self._outside(below, self.slopes[0]), result)
        return result

    def _outside(self, distance: Int, slope: int) -> Int:
        return (distance * slope + (1 << (self.shift - 1))) >> self.shift

    def tables(self) -> Mapping[str, NDArray[np.generic]]:
        """Return what the target stores: knots int16, and where lines go on, focus int32 = bits, slopes, shift."""
        knots = {"knots": self.knots.astype(np.int16)}
        return knots | {"focus": np.array([self.bits, *self.slopes, self.shift], np.int32)} if self.bits else knots


def focused(function: Function, scale: float, y_scale: float) -> Focus:
    """Return the focus whose largest error is the least, of equals the widest.

    Steps of the widest one in which the function leaves 16 bits do not count: a line to a saturated knot is far off
    there at every width, and a narrow focus would win by that alone.

    Args:
        function: of float64 values.
        scale: of the 16-bit input.
        y_scale: of the result's integers, which saturate at 16 bits.
    """
    integers = np.arange(S16.low, S16.high + 1, _EVERY, dtype=np.int64)
    wanted, *beside = (_units(function, (integers + apart) * scale, y_scale) for apart in (0, -128, 128))
    counts = np.all([np.abs(values) <= S16.high for values in (wanted, *beside)], axis=0)

    def error(candidate: Focus) -> float:
        found = np.clip(candidate(integers), S16.low, S16.high)
        return float(np.abs(found - wanted)[counts].max(initial=0.0))

    return min(_candidates(function, scale, y_scale), key=error)


def _candidates(function: Function, scale: float, y_scale: float) -> Iterator[Focus]:
    """Yield the focus of each width, widest first; those whose lines are too steep for 29 bits are left out."""
    for bits in range(MOST_BITS + 1):
        reach = 1 << (15 - bits)
        knots = place_knots(
            function, np.float64(-reach * scale), np.float64(reach * scale), np.float64(1 / y_scale), inside=True
        )
        if not bits:
            yield Focus(0, knots)
            continue
        ends = _units(function, np.array([S16.low, -reach, reach, S16.high]) * scale, y_scale)
        below, above = (ends[1] - ends[0]) / (-reach - S16.low), (ends[3] - ends[2]) / (S16.high - reach)
        shift = min(30, _SLOPE_BITS - math.frexp(max(abs(below), abs(above)))[1])
        if shift > 0:
            slopes = [int(round_half_away(np.ldexp(slope, shift))) for slope in (below, above)]
            yield Focus(bits, knots, (slopes[0], slopes[1]), shift)


def _units(function: Function, values: NDArray[Any], y_scale: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # as in `place_knots`
        scaled: NDArray[np.float64] = np.clip(function(values) / y_scale, -ENDLESS, ENDLESS)
    return scaled
