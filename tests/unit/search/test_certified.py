"""Certified races: the capital against a true hypothesis stays small, races err no more often than stated."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.search.certified import Certificate, certified_rungs, refutation
from slimai.search.loop import search
from tests.unit.search.fakes import MeanMetric, setup

TOLERANCE = 0.005


def test_the_capital_against_a_true_hypothesis_is_large_on_few_orders():
    """Brute force: every order of 10 images whose mean difference is just the tolerance, 7 of them seen."""
    for ones in (5, 6, 7):
        capitals = []
        for places in combinations(range(10), ones):
            values = np.full(10, -1.0)
            values[list(places)] = 1.0
            capitals.append(refutation(values[:7], 10, float(values.mean())))
        # Ville: no capital above 1 / a on more than a share a of the orders
        for level in (0.5, 0.2, 0.05, 0.01):
            assert np.mean(np.array(capitals) > math.log(1 / level)) <= level


@given(st.integers(1, 40), st.integers(0, 10**6), st.floats(0, 0.2))
def test_what_is_certain_is_certain(images, seed, tolerance):
    differences = np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], images)
    whole = refutation(differences, images, tolerance)
    if differences.mean() > tolerance + 1e-9:
        assert whole < math.inf
    elif differences.mean() < tolerance - 1e-9:
        assert whole == math.inf


def test_more_images_never_take_a_refutation_back():
    differences = np.random.default_rng(3).choice([-1.0, 0.0], 300, p=[0.2, 0.8])
    found = [refutation(differences[:seen], 1000, TOLERANCE) for seen in range(0, 300, 20)]
    assert found == sorted(found)
    assert found[-1] > math.log(1000)


def test_rungs_grow_to_all_images():
    assert certified_rungs(20) == [20]
    assert certified_rungs(100) == [32, 40, 50, 62, 77, 96, 100]


def test_those_who_rely_on_one_that_leaves_get_another_witness():
    certificate = Certificate(3, 1000, TOLERANCE, 0.05)
    best, middle, worst = np.ones(200), np.ones(200), np.zeros(200)
    middle[:60] = 0
    assert certificate.dropped({"middle": middle[:100], "worst": worst[:100]}) == {"worst"}
    assert certificate.orphans(["middle"]) == []
    assert certificate.dropped({"best": best, "middle": middle}) == {"middle"}
    assert certificate.orphans(["best"]) == []
    assert sorted(certificate.orphans(["another"])) == ["middle", "worst"]


def tables(kind, seed, images=240, candidates=8):
    """Return [candidates, images] records on which a careless race errs."""
    rng = np.random.default_rng(seed)
    base = (rng.random(images) < 0.7).astype(float)
    rows = []
    for index in range(candidates):
        row = base.copy()
        if index and kind == "beyond":  # a little more than the tolerance below, with much disagreement
            worse, better = 0.06 + 2.5 / images, 0.06
        elif index and kind == "rare":  # few images on which all is lost
            worse, better = 4 / images, 0.0
        else:
            worse, better = (0.14, 0.12) if index else (0.0, 0.0)
        ones = rng.permutation(np.flatnonzero(base == 1))[: round(worse * images)]
        zeros = rng.permutation(np.flatnonzero(base == 0))[: round(better * images)]
        row[ones], row[zeros] = 0, 1
        rows.append(row)
    return [rows[index] for index in rng.permutation(candidates)]


def gap(tmp_path, rows, seed, **settings):
    """Return how far the winner's full score is below the best one, and the images run."""
    prepared, log = setup(tmp_path, rows, strategy="racing", seed=seed, tolerance=TOLERANCE, **settings)
    state = search(prepared)
    means = [float(np.mean(row)) for row in rows]
    return max(means) - means[prepared.candidates.index(state.best.candidate)], len(log), state


@pytest.mark.parametrize("kind", ["beyond", "rare", "late"])
def test_a_race_says_what_it_guarantees_and_keeps_it(tmp_path, kind):
    rows = tables(kind, 1)
    lost, run, state = gap(tmp_path, rows, 5, guarantee="certified", error=0.05)
    assert lost <= TOLERANCE
    assert run <= 8 * 240
    assert state.guarantee.missing == ""
    assert state.guarantee.share == pytest.approx(run / (8 * 240), abs=1e-12)
    assert str(state.guarantee).startswith("at least 95% that no candidate is more than 0.005 above the winner (")


def test_losers_that_trail_far_leave_after_a_part_of_the_images(tmp_path):
    rng = np.random.default_rng(0)
    base = (rng.random(600) < 0.8).astype(float)
    rows = [base]
    for _ in range(7):
        row = base.copy()
        row[rng.permutation(np.flatnonzero(base == 1))[:120]] = 0
        row[rng.permutation(np.flatnonzero(base == 0))[:30]] = 1
        rows.append(row)
    lost, run, state = gap(tmp_path, rows, 0, guarantee="certified")
    assert lost == 0
    assert run < 0.5 * 8 * 600
    assert sum(item.status == "partial" for item in state.outcomes) == 7


def test_a_score_over_a_set_has_no_guarantee(tmp_path):
    rows = tables("late", 2, images=120)
    _, _, state = gap(tmp_path, rows, 0, guarantee="certified", metric=MeanMetric(set_only=True))
    assert state.guarantee.missing == "the score is over a set, not a mean over images"
    assert state.guarantee.to_json()["guarantee"] == "none"


def test_scores_outside_the_range_have_no_guarantee(tmp_path):
    rows = [row * 3 for row in tables("late", 2, images=120)]
    _, _, state = gap(tmp_path, rows, 0, guarantee="certified")
    assert state.guarantee.missing == "the metric gives an image a score outside 0..1"


def test_without_the_wish_nothing_is_said(tmp_path):
    _, _, state = gap(tmp_path, tables("late", 2), 0)
    assert state.guarantee is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["beyond", "rare", "late"])
def test_2100_races_err_no_more_often_than_stated(kind):
    """The decisions of races over random orders, without the machinery around them; error 0.05."""
    errors = careless = 0
    races = 700
    for seed in range(races):
        rows = np.array(tables(kind, seed, candidates=6))
        order = np.random.default_rng(10_000 + seed).permutation(rows.shape[1])
        seen = rows[:, order]
        certificate, alive = Certificate(6, rows.shape[1], TOLERANCE, 0.05), set(range(6))
        for size in certified_rungs(rows.shape[1])[:-1]:
            out = certificate.dropped({str(index): seen[index, :size] for index in alive})
            alive -= {int(name) for name in out}
        means = rows.mean(axis=1)
        errors += max(means) - max(means[list(alive)]) > TOLERANCE
        careless += max(means) - means[int(np.argmax(seen[:, :96].mean(axis=1)))] > TOLERANCE
    upper = upper_limit(errors, races)
    assert upper <= 0.05, (errors, races)
    assert careless > 0.05 * races  # the records are hard: who stops at 96 images errs


def upper_limit(errors, trials):
    """Return the upper 95 % limit of a share (Clopper and Pearson, 1934), by bisection over the binomial."""
    low, high = errors / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(math.comb(trials, k) * middle**k * (1 - middle) ** (trials - k) for k in range(errors + 1))
        low, high = (middle, high) if below > 0.05 else (low, middle)
    return high
