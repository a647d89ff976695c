"""The most worthwhile members that a budget lets in: exact where costs add up, in order where they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISSES = 24  # members in a row that do not fit, after which the rest is not asked about
_NEARLY = 1e-12  # of the budget, by which sums of costs may exceed it: they are sums of floats


@dataclass(frozen=True)
class _Front:
    """The sets that no other one beats: cost and worth [k], both ascending; members [k, items decided] bool."""

    costs: NDArray[np.float64]
    worths: NDArray[np.float64]
    members: NDArray[np.bool_]


def most_worth(worths: Sequence[float], costs: Sequence[float], limit: float) -> tuple[int, ...]:
    """Return the indices, ascending, of the set with the largest sum of `worths` whose `costs` stay within `limit`.

    Exact: fronts of item after item (Nemhauser and Ullmann, Discrete dynamic programming and capital allocation, 1969),
    without the sets that not even parts of the items left could bring above a set that is known (Dantzig's bound).
    Neither worths nor costs are negative. Of equal ones the cheaper set.
    """
    budget = limit + _NEARLY * max(abs(limit), 1.0)
    free = [at for at, cost in enumerate(costs) if cost <= 0 < worths[at]]
    paid = [at for at, cost in enumerate(costs) if 0 < cost <= budget and worths[at] > 0]
    paid.sort(key=lambda at: (-worths[at] / costs[at], at))
    front = _Front(np.zeros(1), np.zeros(1), np.zeros((1, 0), bool))
    worth, cost = np.array([worths[at] for at in paid]), np.array([costs[at] for at in paid])
    for number in range(len(paid)):
        front = _bounded(_extended(front, worth[number], cost[number], budget), worth, cost, number + 1, budget)
    chosen = [paid[place] for place in np.flatnonzero(front.members[-1])] if paid else []
    return tuple(sorted([*free, *chosen]))


def _extended(front: _Front, worth: float, cost: float, budget: float) -> _Front:
    """Return the front with every set also with one more item, dominated sets left out."""
    fits = front.costs + cost <= budget
    costs = np.concatenate([front.costs, front.costs[fits] + cost])
    worths = np.concatenate([front.worths, front.worths[fits] + worth])
    rows = np.concatenate([front.members, front.members[fits]])
    taken = np.concatenate([np.zeros(len(fits), bool), np.ones(int(fits.sum()), bool)])
    order = np.lexsort((-worths, costs))
    best = np.maximum.accumulate(worths[order])
    kept = order[np.concatenate([[True], worths[order][1:] > best[:-1]])]
    return _Front(costs[kept], worths[kept], np.concatenate([rows[kept], taken[kept, None]], axis=1))


def _bounded(
    front: _Front, worth: NDArray[np.float64], cost: NDArray[np.float64], decided: int, budget: float
) -> _Front:
    """Return the front without the sets whose upper bound is below a set that can be made; items by falling ratio."""
    ahead = np.concatenate([[0.0], np.cumsum(cost[decided:])])
    gained = np.concatenate([[0.0], np.cumsum(worth[decided:])])
    room = budget - front.costs
    whole = np.searchsorted(ahead, room, side="right") - 1  # items left that fit whole, in order
    lower = front.worths + gained[whole]
    split = np.minimum(decided + whole, len(worth) - 1)
    part = np.where(decided + whole < len(worth), (room - ahead[whole]) * worth[split] / cost[split], 0.0)
    kept = lower + part >= lower.max() * (1 - _NEARLY)
    return _Front(front.costs[kept], front.worths[kept], front.members[kept])


def fill(order: Sequence[str], fits: Callable[[list[str]], bool]) -> list[str]:
    """Return the members that are let in, asked in `order`; who does not fit beside those before is left out.

    For costs that do not add up. fits: whether these together stay within the budget; it is known that none does. As
    long as all fit, twice as many are asked about at once; after `MISSES` in a row that do not, nobody is asked.
    """
    kept: list[str] = []
    start, step, missed = 0, 1, 0
    while start < len(order) and missed < MISSES:
        more = list(order[start : start + step])
        if fits([*kept, *more]):
            kept += more
            start, step, missed = start + len(more), 2 * step, 0
        elif len(more) > 1:
            step = len(more) // 2
        else:
            start, missed = start + 1, missed + 1
    return kept
