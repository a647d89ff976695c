"""Where buffers lie in the arena: offsets such that buffers that live at the same time do not overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_TRIES = 400


@dataclass(frozen=True)
class Buffer:
    """Bytes that live from step `first` to step `last`, both included, at a multiple of `align`."""

    name: str
    size: int
    first: int
    last: int
    align: int = 1

    def meets(self, other: Buffer) -> bool:
        """Return whether both live at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Placement:
    """Buffer -> offset, and the bytes of the whole."""

    offsets: Mapping[str, int]
    size: int


def place(buffers: Sequence[Buffer]) -> Placement:
    """Return offsets of a small arena: first fit by size, by life and by start; then seeded exchanges in the order.

    The search ends as soon as the bytes that live at one step are reached, which no arena can go below.
    """
    least = lower_bound(buffers)
    orders = [
        sorted(buffers, key=lambda item: (-item.size, item.first, item.name)),
        sorted(buffers, key=lambda item: (item.first, -item.size, item.name)),
        sorted(buffers, key=lambda item: (-(item.last - item.first) * item.size, item.name)),
    ]
    best, order = min(((_first_fit(item), item) for item in orders), key=lambda pair: pair[0].size)
    rng = np.random.default_rng(0)
    for _ in range(_TRIES if len(buffers) > 1 else 0):
        if best.size <= least:
            break
        trial = list(order)
        first, second = rng.integers(0, len(trial), 2)
        trial.insert(int(first), trial.pop(int(second)))
        found = _first_fit(trial)
        if found.size <= best.size:
            best, order = found, trial
    return best


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Return the most bytes that live at one step."""
    steps = {step for item in buffers for step in (item.first, item.last)}
    return max((sum(b.size for b in buffers if b.first <= step <= b.last) for step in steps), default=0)


def _first_fit(order: Sequence[Buffer]) -> Placement:
    placed: list[tuple[int, Buffer]] = []
    size = 0
    for item in order:
        offset = 0
        for start, other in placed:  # ascending by start
            if not item.meets(other):
                continue
            if offset + item.size <= start:
                break
            offset = max(offset, -(-(start + other.size) // item.align) * item.align)
        placed.append((offset, item))
        placed.sort(key=lambda pair: pair[0])
        size = max(size, offset + item.size)
    return Placement({item.name: offset for offset, item in placed}, size)
