"""Histograms whose merge is exact: bins of width 2^e, edges at the multiples of the width.

Two such grids are nested, so a histogram coarsens by adding pairs of bins without moving a count. The
exponent is the smallest for which [minimum, maximum] fits into `capacity` bins: a function of the data
alone, whatever the order or the grouping in which it arrived.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.calibration._reference import ordered, unordered

SMALLEST_EXPONENT = -120  # 2^120 is still a float32 with room; finer bins never matter to a scale
_MANTISSA_BITS = 24
_LARGEST = float(np.finfo(np.float32).max)
_EMPTY = (np.int32(2147483647), np.int32(-2147483648))


class NonFiniteError(ValueError):
    """The values hold NaN or infinity."""


def fitting_exponent(minimum: float, maximum: float, capacity: int) -> int:
    """Return the smallest e for which bins of width 2^e over [minimum, maximum] are at most `capacity`.

    Never below -120, nor so fine that a bin is narrower than the spacing of float32 at the largest magnitude.
    """
    # of all that is zero the binary exponent is 0: it must not count, or the result would shrink when data comes
    largest, spread = max(-minimum, maximum), (maximum - minimum) / capacity
    finest = math.frexp(largest)[1] - _MANTISSA_BITS if largest > 0 else SMALLEST_EXPONENT
    start = math.frexp(spread)[1] - 2 if spread > 0 else SMALLEST_EXPONENT
    exponent = max(SMALLEST_EXPONENT, finest, start)
    while _index(maximum, exponent) - _index(minimum, exponent) >= capacity:
        exponent += 1
    return exponent


def _index(value: float, exponent: int) -> int:
    """Return floor(value / 2^exponent), exactly: a float32 at these exponents stays inside float64."""
    return math.floor(math.ldexp(value, -exponent))


@dataclass(frozen=True, eq=False)
class Histogram:
    """Exact counts of float32 values on a grid of width 2^exponent.

    counts: [B] int64; bin i holds the values in [first + i, first + i + 1) * 2^exponent, half open.
    The first and the last bin are those of `minimum` and `maximum`. capacity: most bins it may have.
    """

    minimum: float
    maximum: float
    exponent: int
    first: int
    counts: NDArray[np.int64]
    capacity: int

    @property
    def width(self) -> float:
        """Width of a bin, a power of two."""
        return math.ldexp(1.0, self.exponent)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def edges(self) -> NDArray[np.float64]:
        """Return the [B + 1] bin edges, exact in float64."""
        return np.ldexp(np.arange(self.first, self.first + self.counts.size + 1, dtype=np.float64), self.exponent)

    def coarsened(self, exponent: int) -> Histogram:
        """Return the same counts on the grid of 2^exponent (not below the present one)."""
        first, counts = _coarsen(self.first, self.counts, exponent - self.exponent)
        return Histogram(self.minimum, self.maximum, exponent, first, counts, self.capacity)

    def merged(self, other: Histogram) -> Histogram:
        """Return the histogram of the values of both: the same bits in any order or grouping."""
        low, high = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        exponent = fitting_exponent(low, high, self.capacity)
        first = _index(low, exponent)
        counts = np.zeros(_index(high, exponent) - first + 1, np.int64)
        for part in (self.coarsened(exponent), other.coarsened(exponent)):
            at = part.first - first
            counts[at : at + part.counts.size] += part.counts
        return Histogram(low, high, exponent, first, counts, self.capacity)


def _coarsen(first: int, counts: NDArray[np.int64], steps: int) -> tuple[int, NDArray[np.int64]]:
    """Return first bin and counts after `steps` doublings of the width."""
    if steps == 0:
        return first, counts
    start = first >> steps
    places = ((first + np.arange(counts.size)) >> steps) - start
    merged = np.zeros(int(places[-1]) + 1, np.int64)
    np.add.at(merged, places, counts)
    return start, merged


Kernel = Callable[..., int]


def _compiled_kernel() -> Kernel:
    from slimai.calibration._kernels import count_blocks  # noqa: PLC0415 - spares numba

    kernel: Kernel = count_blocks
    return kernel


class HistogramBuilder:
    """Counts arrays into one histogram, in one pass over each array.

    `capacity` bounds the bins; at least half of them are in use once the data spans more than one bin
    of the finest grid. `kernel` is `count_blocks` of `_kernels` or of `_reference`.
    """

    def __init__(self, capacity: int, kernel: Kernel | None = None) -> None:
        self.capacity = capacity
        self._kernel: Kernel = kernel if kernel is not None else _compiled_kernel()
        self._extremes = np.array(_EMPTY, np.int32)
        self._window = np.array(_EMPTY, np.int32)  # nothing fits until the first block was seen
        self._exponent = 0
        self._first = 0
        self._table = np.zeros(capacity, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count every element of `values` (any shape, float32); NonFiniteError for NaN or infinity."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        done = 0
        while done < flat.size:
            inverse = math.ldexp(1.0, -self._exponent)
            done = self._kernel(flat, done, self._table, inverse, self._first, self._window, self._extremes)
            if done < flat.size:
                self._widen()

    def result(self) -> Histogram:
        """Return the histogram of everything added; ValueError when that is nothing."""
        if self._extremes[0] > self._extremes[1]:
            raise ValueError("no value was counted")
        low, high = self._range()
        exponent = fitting_exponent(low, high, self.capacity)
        first, counts = _coarsen(self._first, self._table, exponent - self._exponent)
        begin, end = _index(low, exponent) - first, _index(high, exponent) - first + 1
        return Histogram(low, high, exponent, first + begin, counts[begin:end].copy(), self.capacity)

    def _range(self) -> tuple[float, float]:
        low, high = (float(value) + 0.0 for value in unordered(self._extremes))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NonFiniteError("not finite")
        return low, high

    def _widen(self) -> None:
        """Make room for the extremes seen, with the spare bins on both sides."""
        low, high = self._range()
        exponent = fitting_exponent(low, high, self.capacity)
        spare = self.capacity - (_index(high, exponent) - _index(low, exponent) + 1)
        first = _index(low, exponent) - spare // 2
        table = np.zeros(self.capacity, np.int64)
        if self._table.any():
            start, counts = _coarsen(self._first, self._table, exponent - self._exponent)
            used = np.flatnonzero(counts)
            begin = start + int(used[0]) - first
            table[begin : begin + int(used[-1] - used[0]) + 1] = counts[used[0] : used[-1] + 1]
        self._table, self._first, self._exponent = table, first, exponent
        self._window = _window(first, self.capacity, exponent)


def _window(first: int, bins: int, exponent: int) -> NDArray[np.int32]:
    """Return the lowest and the highest float32 that have a bin, as ordered integers."""
    low, high = (math.ldexp(edge, exponent) for edge in (first, first + bins))
    window = ordered(np.clip([low, high], -_LARGEST, _LARGEST).astype(np.float32))
    # -0.0 sorts below 0.0 and shares its bin: an edge at zero passes over both
    if first == 0:
        window[0] -= 1
    if high <= _LARGEST:  # the upper edge is open
        window[1] -= 2 if high == 0 else 1
    return window
