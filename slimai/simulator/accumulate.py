"""Exact sums of products: which arithmetic holds them, and what a narrow accumulator does to them.

A float32 (float64) matrix product of integers is exact while every partial sum is below 2**24 (2**53): then
no rounding happens, whatever the order of the additions. The bound is proven per layer from the weights:
sum |w| * max |x| over the worst output channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.context import LayerContext, Overflow, Tally

FLOAT32_EXACT = float(1 << 24)
FLOAT64_EXACT = float(1 << 53)


def largest(params: QParams) -> int:
    """Return the largest magnitude of an integer of these parameters after its zero point is taken away."""
    return max(params.dtype.high - params.zero_point, params.zero_point - params.dtype.low)


def exact_dtype(bound: float) -> np.dtype[Any]:
    """Return the fastest dtype in which partial sums up to `bound` are exact."""
    if bound < FLOAT32_EXACT:
        return np.dtype(np.float32)
    return np.dtype(np.float64 if bound < FLOAT64_EXACT else np.int64)


@dataclass(frozen=True)
class Accumulator:
    """The width of a sum and what happens beyond it; `bound` is the largest magnitude that can occur."""

    name: str
    bits: int
    overflow: Overflow
    bound: float

    @property
    def checked(self) -> bool:
        """Whether a sum can leave the accumulator at all."""
        return self.bound > float((1 << (self.bits - 1)) - 1)

    def limit(self, acc: NDArray[Any], tally: Tally) -> NDArray[Any]:
        """Return the sums after saturation or wrap-around, counting those that left the range."""
        if not self.checked:
            return acc
        high = (1 << (self.bits - 1)) - 1
        outside = int(np.count_nonzero((acc > high) | (acc < -high - 1)))
        if not outside:
            return acc
        tally.overflows[self.name] += outside
        wide = acc.astype(np.int64)
        if self.overflow == "saturate":
            return np.clip(wide, -high - 1, high)
        span = 1 << self.bits
        return (wide + high + 1) % span - high - 1


def accumulator(context: LayerContext, bound: float) -> Accumulator:
    """Return the accumulator of a layer whose sums, bias included, reach at most `bound`."""
    return Accumulator(context.layer.name, context.accumulator_bits(), context.overflow, bound)
