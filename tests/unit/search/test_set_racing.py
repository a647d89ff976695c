"""Races over a score that only exists over a set: influences against brute force, what is spent, kills and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.artifacts.journal import Journal
from slimai.errors import InputError
from slimai.metrics.base import Result
from slimai.search.influence import PARTS, Influence, image_parts
from slimai.search.loop import search
from slimai.search.records import load_images, load_records, save_records
from slimai.search.set_racing import SCOUTS, first_look
from slimai.search.stopwatch import Stopwatch
from tests.unit.search.fakes import MeanMetric, setup


class Ratio(MeanMetric):
    """Sum of hits over sum of objects: image i holds 1 + i % 3 objects, and a record says which share is hit."""

    def measure(self, sample, outputs, reference):
        return {**super().measure(sample, outputs, reference), "image": np.int64(sample.index)}

    def combine(self, records):
        shares = np.array([float(record["score"]) for record in records])
        objects = np.array([1 + int(record["image"]) % 3 for record in records])
        score = float((shares * objects).sum() / (objects.sum() + 0.3 * ((1 - shares) * objects).sum()))
        return Result(score, score)


def rows_of(shares):
    return [{"score": np.float64(share), "image": np.int64(at)} for at, share in enumerate(shares)]


def score_of(shares):
    return Ratio().combine(rows_of(np.float32(shares))).score


@given(st.integers(1, 3 * PARTS), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_parts_hold_every_image_once_and_are_alike_in_size(images, seed):
    parts = image_parts(images, seed)
    assert sorted(itertools.chain(*parts)) == list(range(images))
    assert len(parts) == min(images, PARTS)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == image_parts(images, seed)


@given(st.integers(2, 60), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_influences_are_those_of_exchanging_images_one_by_one(count, seed):
    rng = np.random.default_rng(seed)
    groups = np.array_split(rng.permutation(count), min(count, 7))
    parts = [tuple(int(image) for image in group) for group in groups]
    floats, mine, scout = (rows_of(rng.random(count)) for _ in range(3))
    influence = Influence(Ratio(), floats, parts)
    whole = Ratio().combine(floats).score
    lost = []
    for at, part in enumerate(parts):
        mixed = [mine[image] if image in part else floats[image] for image in range(count)]
        known = {image: mine[image] for image in (*part, *parts[-1])}
        found = influence.exchanged(known, [at])
        assert found == pytest.approx([Ratio().combine(mixed).score - whole], abs=1e-12)
        lost.append(whole - Ratio().combine([floats[image] for image in range(count) if image not in part]).score)
    if len(parts) > 1:
        assert influence.unevenness() == pytest.approx(np.abs(lost - np.median(lost)), abs=1e-12)
    seen = {image: mine[image] for image in parts[0]}
    others = [dict(enumerate(scout)), dict(enumerate(floats))]
    each = [Ratio().combine([*seen.values(), *(row[i] for i in row if i not in seen)]).score for row in others]
    assert influence.completed(seen, others) == pytest.approx(np.mean(each), abs=1e-12)


def few_decide(seed, images, candidates=12, telling=5):
    """Return (float, rows): a few images that float finds hard make all differences but for small ones."""
    rng = np.random.default_rng(seed)
    floats = np.ones(images)
    hard = rng.permutation(images)[:telling]
    floats[hard] = rng.uniform(0.2, 0.8, telling)
    rows = []
    for _ in range(candidates):
        row = floats - np.abs(rng.normal(0, 0.002, images))
        row[hard] = rng.random(telling)
        rows.append(np.clip(row, 0, 1))
    return floats, rows


@pytest.mark.parametrize(("images", "most"), [(60, 0.5), (300, 0.6)])
def test_where_few_images_decide_they_are_found_and_the_rest_is_spared(tmp_path, images, most):
    gaps, spent = [], 0
    for seed in range(6):
        floats, rows = few_decide(seed, images)
        plan, log = setup(tmp_path / str(seed), rows, strategy="racing", seed=seed, metric=Ratio(), floats=floats)
        state = search(plan)
        assert len(log) == len(set(log))
        gaps.append(max(map(score_of, rows)) - state.best.score)
        spent += len(log)
        assert all(item.images >= first_look(images) for item in state.outcomes)
    assert max(gaps) <= 1e-6
    assert spent <= most * 6 * 12 * images


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_float_network_that_tells_nothing_costs_forwards_not_the_winner(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    rows = [np.clip(rng.normal(mean, 0.1, 40), 0, 1) for mean in rng.uniform(0.3, 0.9, 6)]
    path = tmp_path_factory.mktemp("race")
    plan, _ = setup(path, rows, strategy="racing", seed=seed, metric=Ratio(), floats=rng.random(40))
    assert search(plan).best.score >= max(map(score_of, rows)) - 0.005


def test_candidates_that_agree_everywhere_are_all_scored(tmp_path):
    rows = [np.full(40, 0.5)] * 4
    plan, _ = setup(tmp_path, rows, strategy="racing", metric=Ratio(), floats=np.full(40, 0.5))
    assert [item.status for item in search(plan).outcomes] == ["full"] * 4


@pytest.mark.parametrize("after", [1, 9, 20, 31, 45, 60, 75])
def test_a_race_that_was_killed_ends_as_the_one_that_was_not(tmp_path, after):
    floats, rows = few_decide(3, 40, candidates=8)
    settings_ = {"strategy": "racing", "seed": 3, "metric": Ratio(), "floats": floats}
    whole, log = setup(tmp_path / "whole", rows, **settings_)
    expected = search(whole).outcomes
    runs = 0

    def die():
        nonlocal runs
        runs += 1
        if runs > after:
            raise RuntimeError("killed")

    broken, first = setup(tmp_path / "killed", rows, on_run=die, **settings_)
    if after < len(log) / 4:
        with pytest.raises(RuntimeError, match="killed"):
            search(broken)
    resumed, _ = setup(tmp_path / "killed", rows, log=first, **settings_)
    assert search(resumed).outcomes == expected
    assert set(first) == set(log)


def test_a_race_that_the_time_limit_cut_ends_as_the_one_that_it_did_not(tmp_path):
    """What the limit completes may be no scout, in an order that the race gives up: each record says its image."""
    floats, rows = few_decide(4, 40, candidates=8)
    settings_ = {"strategy": "racing", "seed": 4, "metric": Ratio(), "floats": floats}
    whole, _ = setup(tmp_path / "whole", rows, **settings_)
    expected = search(whole).outcomes
    for limit in (0.0, 3.0, 12.0, 20.0, 31.0, 40.0):
        folder, now = tmp_path / str(limit), [0.0]

        def tick(now=now):
            now[0] += 1

        watch = Stopwatch(Journal(folder / "journal.jsonl"), "t", limit=limit, clock=lambda now=now: now[0])
        cut, _ = setup(folder, rows, on_run=tick, watch=watch, **settings_)
        assert "time limit" in search(cut).cut_short
        resumed, _ = setup(folder, rows, **settings_)
        assert search(resumed).outcomes == expected


def test_who_the_metric_refuses_fails_and_the_race_goes_on(tmp_path):
    class Refusing(Ratio):
        def combine(self, records):
            if any(float(record["score"]) == 0.125 for record in records):
                raise InputError("this record is refused")
            return super().combine(records)

    floats, rows = few_decide(5, 40, candidates=6)
    rows[2] = rows[2].copy()
    rows[2][7] = 0.125
    best = int(np.argmax([score_of(row) for at, row in enumerate(rows) if at != 2]))
    plan, _ = setup(tmp_path, rows, strategy="racing", metric=Refusing(), floats=floats)
    state = search(plan)
    assert state.outcomes[2].status in ("failed", "partial")
    assert state.best.score == pytest.approx(score_of([row for at, row in enumerate(rows) if at != 2][best]), abs=1e-6)


def test_scouts_are_the_best_of_the_first_look_and_scored_on_all_images(tmp_path):
    floats, rows = few_decide(6, 64)
    plan, _ = setup(tmp_path, rows, strategy="racing", metric=Ratio(), floats=floats)
    full = [item for item in search(plan).outcomes if item.status == "full"]
    assert len(full) >= SCOUTS
    assert all(item.images == 64 for item in full)


def test_a_file_tells_of_which_images_its_records_are(tmp_path):
    rows = rows_of([0.25, 0.5, 0.75])
    save_records(tmp_path / "a.npz", rows, [2, 0, 1])
    save_records(tmp_path / "b.npz", rows)
    assert load_images(tmp_path / "a.npz") == [2, 0, 1]
    assert load_images(tmp_path / "b.npz") is None
    assert load_images(tmp_path / "c.npz") is None
    assert [float(row["score"]) for row in load_records(tmp_path / "a.npz")] == [0.25, 0.5, 0.75]
