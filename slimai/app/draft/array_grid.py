"""mean and stddev of arrays of integers for a float network, where nothing but the score of labelled samples tells.

Sound and sensor features are often stored as the 8-bit integers of a quantized twin; the float network wants
(value - mean) / stddev. Both are looked for on a grid that is halved around the best of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

MEANS = tuple(range(-128, 129, 32))
POWERS = tuple(range(-3, 9))
ROUNDS = 3

__all__ = ["search_grid"]

Pair = tuple[float, float]


def search_grid(score: Callable[[list[dict[str, Any]]], list[float]]) -> Pair:
    """Return (mean, stddev) of the highest score; of equal ones the earlier.

    score: the score of each setting of a list.
    """
    pairs = [(float(mean), 2.0**power) for mean in MEANS for power in POWERS]
    step, ratio = 32.0, 2.0
    best = _best(pairs, score)
    for _ in range(ROUNDS):
        step, ratio = step / 2, ratio**0.5
        near = [(best[0] + a * step, best[1] * ratio**b) for a in (0, -1, 1) for b in (0, -1, 1)]
        best = _best(near, score)
    return round(best[0], 3), float(f"{best[1]:.5g}")


def _best(pairs: Iterable[Pair], score: Callable[[list[dict[str, Any]]], list[float]]) -> Pair:
    listed = list(pairs)
    found = score([{"mean": mean, "stddev": stddev} for mean, stddev in listed])
    return listed[max(range(len(listed)), key=lambda at: (found[at], -at))]
