"""Functions of 16-bit integers by TFLite's lookup: 513 knots over the input's integers, straight lines between them.

Formula: TFLite's ``LUTPopulate`` and ``LUTLookup`` of int16 (lite/kernels/internal/common.h), restated on arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import S16, QParams
from slimai.simulator.fixed_point import Int, round_half_away

STEPS = 512
ENDLESS = 2.0**60  # saturates; differences of such values are finite

Function = Callable[[NDArray[Any]], NDArray[Any]]


def place_knots(function: Function, low: Any, high: Any, unit: Any, *, inside: bool = False) -> Int:
    """Return 513 knots of `function` over [low, high], in integers of 1 / unit, saturated to 16 bits.

    Each knot but the last is lowered by half of the error that a straight line has in the middle of its step. All is
    computed in the float type of `low`, `high` and `unit`; what is infinite there ends at 2**60 units.
    inside: a knot is lowered only where its whole step is within 16 bits; TFLite lowers all, and so sends a knot to the
    other end of the range where the function leaves it steeply.
    """
    real = type(low)
    step = real((high - low) / real(STEPS))
    at = low + np.arange(STEPS + 1).astype(real) * step

    def units(x: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):  # beyond the end of the type the knot saturates
            scaled: NDArray[Any] = np.clip(function(x) * unit, -ENDLESS, ENDLESS)
        return scaled.astype(real)

    value = units(at)
    sample = round_half_away(value[:-1])
    middle = round_half_away(units(at[:-1] + step / real(2)))
    line = round_half_away((value[1:] + sample) / real(2))
    last = round_half_away(units(np.array([high])))
    lowered = round_half_away((line - middle) / real(2))
    if inside:
        lowered = np.where((np.abs(value[1:]) <= S16.high) & (np.abs(middle) <= S16.high), lowered, 0)
    knots = np.concatenate([sample - lowered, last])
    table: Int = np.clip(knots, S16.low, S16.high).astype(np.int64)
    return table


def interpolate(value: Int, knots: Int) -> Int:
    """Return the line between the two knots around each 16-bit integer: 7 bits of it are the place between them."""
    index = STEPS // 2 + (value >> 7)
    slope = knots[index + 1] - knots[index]
    result: Int = knots[index] + ((slope * (value & 0x7F) + 64) >> 7)
    return result


def knots_of(function: Function, x: QParams, y_scale: float, real: type[np.floating[Any]]) -> Int:
    """Return TFLite's knots of a function over all integers of `x` (16 bits, zero point 0) in integers of `y_scale`."""
    scale, step = real(x.scale), real(y_scale)
    span = step * real(S16.high) - step * real(S16.low)
    low, high = scale * real(S16.low), scale * real(S16.high)
    return place_knots(function, low, high, real(1 << 16) / span)
