"""Lists of memory places folded into six nested loops with strides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTH = 6
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Nest:
    """Sizes of the loops, outermost first, and the strides and the first place of each list."""

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    first: tuple[int, ...]

    def padded(self) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """Return sizes and strides with loops of one round in front, six in all."""
        missing = DEPTH - len(self.sizes)
        return (1,) * missing + self.sizes, tuple((0,) * missing + item for item in self.strides)


def straight(count: int, *strides: int) -> Nest:
    """Return one loop of so many rounds over lists with these strides."""
    return Nest((count,), tuple((stride,) for stride in strides), (0,) * len(strides))


def fold(lists: Sequence[NDArray[Any]]) -> Nest | None:
    """Return the loops that walk all lists (of one length) in order, or None where six are not enough."""
    walked: Int = np.stack([np.asarray(item, np.int64).reshape(-1) for item in lists])
    sizes: list[int] = []
    strides: list[tuple[int, ...]] = []
    while walked.shape[1] > 1:
        step = walked[:, 1] - walked[:, 0]
        count = _longest(walked, step)
        if count == 1 or len(sizes) == DEPTH:
            return None
        sizes.insert(0, count)
        strides.insert(0, tuple(int(value) for value in step))
        walked = walked[:, ::count]
    by_list = tuple(tuple(loop[index] for loop in strides) for index in range(len(lists)))
    return Nest(tuple(sizes), by_list, tuple(int(value) for value in walked[:, 0]))


def _longest(walked: Int, step: Int) -> int:
    """Return the longest inner loop: the largest divisor of the length whose rows all go by `step`; 1 without any."""
    length: int = walked.shape[1]
    breaks = np.flatnonzero((np.diff(walked, axis=1) != step[:, None]).any(axis=0)) + 1  # a row must end there
    if not breaks.size:
        return length
    for count in range(int(breaks[0]), 1, -1):
        if length % count == 0 and not np.any(breaks % count):
            return count
    return 1


def equal_runs(places: NDArray[Any]) -> tuple[int, int]:
    """Return (length, step) of the longest equal runs that a list of places is made of; 1 and 0 without any."""
    walked = np.asarray(places, np.int64).reshape(1, -1)
    if walked.shape[1] < 2:
        return 1, 0
    step = walked[:, 1] - walked[:, 0]
    length = _longest(walked, step)
    return (length, int(step[0])) if length > 1 else (1, 0)
