"""The most that a budget lets in, against brute force over all sets."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.search.knapsack import MISSES, fill, most_worth


def best_by_hand(worths, costs, limit):
    sets = (chosen for size in range(len(worths) + 1) for chosen in combinations(range(len(worths)), size))
    within = [chosen for chosen in sets if sum(costs[at] for at in chosen) <= limit]
    return max(sum(worths[at] for at in chosen) for chosen in within)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=11), st.integers(0, 60))
def test_no_set_within_the_budget_is_worth_more(items, limit):
    worths, costs = [worth for worth, _ in items], [cost for _, cost in items]
    found = most_worth(worths, costs, limit)
    assert list(found) == sorted(set(found))
    assert sum(costs[at] for at in found) <= limit
    assert sum(worths[at] for at in found) == best_by_hand(worths, costs, limit)


@given(st.lists(st.tuples(st.floats(1e-6, 1e3), st.floats(1e-3, 1e3)), max_size=9), st.floats(0, 2e3))
def test_no_set_of_floats_is_worth_more(items, limit):
    worths, costs = [worth for worth, _ in items], [cost for _, cost in items]
    found = most_worth(worths, costs, limit)
    assert math.fsum(costs[at] for at in found) <= limit * (1 + 1e-9) + 1e-9
    worth = math.fsum(worths[at] for at in found)
    assert worth >= best_by_hand(worths, costs, limit) * (1 - 1e-9)


def test_a_network_of_many_layers_is_solved():
    rng = np.random.default_rng(0)
    costs = rng.integers(1, 200_000, 180).astype(float)
    worths = costs * rng.uniform(0.5, 1.5, 180)  # noise and cost alike: the hard kind
    found = most_worth(list(worths), list(costs), costs.sum() / 3)
    ordered = sorted(range(180), key=lambda at: -worths[at] / costs[at])
    bound, room = 0.0, costs.sum() / 3
    for at in ordered:  # Dantzig: the dearest item in part
        part = min(1.0, room / costs[at])
        bound, room = bound + part * worths[at], room - part * costs[at]
    worth = sum(worths[at] for at in found)
    assert bound * (1 - 1e-3) <= worth <= bound


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 40))
def test_each_is_let_in_that_fits_beside_those_before(costs, limit):
    order = [str(at) for at in range(len(costs))]
    asked = []

    def fits(names):
        asked.append(names)
        return sum(costs[int(name)] for name in names) <= limit

    one_by_one, room, missed = [], limit, 0
    for name, cost in zip(order, costs, strict=True):
        if cost <= room and missed < MISSES:
            one_by_one.append(name)
            room, missed = room - cost, 0
        else:
            missed += 1
    assert fill(order, fits) == one_by_one
    assert len(asked) <= 2 * len(costs) + 8


@pytest.mark.parametrize("length", [1, 7, 64])
def test_all_that_fit_are_found_in_few_questions(length):
    asked = []
    order = [str(at) for at in range(length)]
    assert fill(order, lambda names: asked.append(names) or True) == order
    assert len(asked) <= math.ceil(math.log2(length + 1))


def test_a_long_row_that_does_not_fit_ends_the_asking():
    asked = []
    assert fill([str(at) for at in range(200)], lambda names: asked.append(names) or False) == []
    assert len(asked) == MISSES
