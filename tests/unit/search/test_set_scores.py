"""Races over a score that only exists over a set: the jackknife against brute force, and what a race then spends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.metrics.base import Result
from slimai.search.decision import keeps, trial_rungs
from slimai.search.loop import search
from slimai.search.race import GROUPS, jackknife_differences
from slimai.search.set_racing import first_look
from tests.unit.search.fakes import MeanMetric, setup


class Overlap(MeanMetric):
    """Hits over hits, misses and alarms of the whole set, as IU is: image i holds 1 + i % 4 objects of a fixed size.

    A record says which share of its objects is hit; what is not hit is missed, and half of it is alarms beside.
    """

    def measure(self, sample, outputs, reference):
        record = super().measure(sample, outputs, reference)
        return {**record, "objects": np.float64(1 + sample.index % 4)}

    def combine(self, records):
        shares, objects = (np.array([float(record[key]) for record in records]) for key in ("score", "objects"))
        score = float((shares * objects).sum() / (objects + 0.5 * (1 - shares) * objects).sum())
        return Result(score, score)


def rows_of(shares):
    return [{"score": np.float64(share), "objects": np.float64(1 + at % 4)} for at, share in enumerate(shares)]


@given(st.integers(2, 3 * GROUPS), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_errors_are_those_of_leaving_images_out(count, seed):
    """Busing, Meijer and van der Leeden, written out image group by image group."""
    rng = np.random.default_rng(seed)
    metric, rows = Overlap(), [rows_of(rng.random(count)) for _ in range(3)]
    scores = [metric.combine(row).score for row in rows]
    found = jackknife_differences(metric, rows, scores, 1)
    groups = min(count, GROUPS)
    for place, row in enumerate(rows):
        pseudo, weights = [], []
        for group in range(groups):
            rest = [at for at in range(count) if at % groups != group]
            h = count / (count - len(rest))
            mine, theirs = (metric.combine([other[at] for at in rest]).score for other in (row, rows[1]))
            pseudo.append(h * (scores[place] - scores[1]) - (h - 1) * (mine - theirs))
            weights.append(h)
        variance = np.mean([(p - np.mean(pseudo)) ** 2 / (h - 1) for p, h in zip(pseudo, weights, strict=True)])
        assert found[place][0] == pytest.approx(scores[place] - scores[1], abs=1e-15)
        assert found[place][1] == pytest.approx(max(np.sqrt(variance), 0.5 / count**1.5), rel=1e-6)


def test_the_error_of_a_mean_is_the_standard_error_of_the_paired_difference():
    rng = np.random.default_rng(2)
    first, second = rng.random(40), rng.random(40)
    metric = MeanMetric(set_only=True)
    rows = [[{"score": value} for value in values] for values in (first, second)]
    _, (difference, error) = jackknife_differences(metric, rows, [first.mean(), second.mean()], 0)
    assert difference == pytest.approx((second - first).mean(), abs=1e-12)
    assert error == pytest.approx((second - first).std(ddof=1) / np.sqrt(40), rel=1e-9)


def tables(seed, images, candidates=12):
    """Return [candidates, images]: most trail by up to 0.2, and images differ from candidate to candidate."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)
    losses = np.concatenate([[0.0], rng.uniform(0.0, 0.2, candidates - 1)])
    return [np.clip(0.95 - 0.5 * hard**4 - loss * 2 * hard + rng.normal(0, 0.05, images), 0, 1) for loss in losses]


@pytest.mark.parametrize("images", [60, 200])
def test_a_race_over_a_set_spends_little_and_finds_the_winner(tmp_path, images):
    gaps, spent = [], 0
    for seed in range(8):
        rows = tables(seed, images)
        plan, log = setup(tmp_path / str(seed), rows, strategy="racing", seed=seed, metric=Overlap())
        state = search(plan)
        truth = [Overlap().combine(rows_of(np.float32(row))).score for row in rows]
        gaps.append(max(truth) - state.best.score)
        spent += len(log)
    assert max(gaps) <= 0.005
    assert spent <= 0.6 * 8 * 12 * images
    assert all(item.images >= first_look(images) for item in state.outcomes)


@given(st.integers(1, 400))
def test_a_trial_sees_a_third_of_the_images_at_most(images):
    sizes = trial_rungs(images)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] <= max(8, -(-images // 3))
    assert sizes[-1] <= images


@pytest.mark.parametrize("metric", [MeanMetric(), Overlap()])
def test_a_bound_is_judged_as_all_images_would(metric):
    rng = np.random.default_rng(0)
    right = asked = 0
    for _ in range(60):
        base = rng.random(120)
        loss = rng.uniform(0, 0.2)
        mine = np.clip(base - rng.normal(loss, 0.03, 120), 0, 1)
        whole = [metric.combine(rows_of(values)).score for values in (mine, base)]
        for seen in trial_rungs(120):
            found = keeps(metric, rows_of(mine)[:seen], rows_of(base)[:seen], 0.05, 120)
            if found is not None:
                break
        assert found is not None
        asked += seen
        right += found == (whole[0] >= whole[1] - 0.05)
    assert right >= 54
    assert asked <= 60 * 24  # of 120; 40 would be the most
