"""The search loop: every candidate once, best so far after each, resumable, time-boxed."""

from dataclasses import replace

import numpy as np
import pytest

from slimai.artifacts.journal import Journal
from slimai.search.loop import search
from slimai.search.race import rungs
from slimai.search.stopwatch import Stopwatch
from tests.unit.search.fakes import MeanMetric, key_of, setup


def watch(folder, **settings):
    return Stopwatch(Journal(folder / "journal.jsonl"), "t", **settings)


def test_exhaustive_scores_all_images_of_all_candidates_in_order(tmp_path):
    tables = [np.full(10, 0.5), np.linspace(0, 1, 10), np.full(10, 0.7)]
    plan, log = setup(tmp_path, tables)
    state = search(plan)
    assert [item.score for item in state.outcomes] == pytest.approx([0.5, 0.5, 0.7], abs=1e-6)
    assert state.best.candidate == plan.candidates[2]
    assert len(log) == 30
    assert all(item.images == 10 and item.status == "full" for item in state.outcomes)


def test_equal_integers_are_scored_once_and_reported_each(tmp_path):
    tables = [np.full(8, 0.5), np.full(8, 0.5)]
    plan, log = setup(tmp_path, tables, keys=["k", "k"])
    state = search(plan)
    assert len(log) == 8
    assert [item.candidate for item in state.outcomes] == list(plan.candidates)
    assert state.best.candidate == plan.candidates[1], "a tie goes to the higher range"


def test_a_finished_search_runs_nothing_again(tmp_path):
    tables = [np.full(8, 0.5), np.full(8, 0.6)]
    first, log = setup(tmp_path, tables)
    before = search(first)
    again, log_again = setup(tmp_path, tables)
    after = search(again)
    assert log
    assert log_again == []
    assert after.outcomes == before.outcomes


def test_another_content_key_reuses_nothing(tmp_path):
    from dataclasses import replace

    tables = [np.full(8, 0.5)]
    search(setup(tmp_path, tables)[0])
    plan, log = setup(tmp_path, tables)
    search(replace(plan, score_key="d" * 64))
    assert len(log) == 8


@pytest.mark.parametrize("strategy", ["exhaustive", "racing"])
@pytest.mark.parametrize("stop_after", [1, 3, 5, 9])
def test_a_search_that_dies_anywhere_ends_with_the_same_outcomes(tmp_path, strategy, stop_after):
    rng = np.random.default_rng(0)
    tables = [np.clip(rng.normal(0.5 + 0.1 * index, 0.1, 40), 0, 1) for index in range(4)]
    whole, _ = setup(tmp_path / "whole", tables, strategy=strategy)
    expected = search(whole).outcomes
    runs = 0

    def die():
        nonlocal runs
        runs += 1
        if runs > stop_after:
            raise RuntimeError("killed")

    broken, _ = setup(tmp_path / "broken", tables, strategy=strategy, on_run=die)
    with pytest.raises(RuntimeError, match="killed"):
        search(broken)
    resumed, _ = setup(tmp_path / "broken", tables, strategy=strategy)
    assert search(resumed).outcomes == expected


def test_resuming_does_not_repeat_finished_candidates(tmp_path):
    tables = [np.full(8, 0.5), np.full(8, 0.6)]
    runs = 0

    def die():
        nonlocal runs
        runs += 1
        if runs > 2:
            raise RuntimeError("killed")

    broken, _ = setup(tmp_path, tables, on_run=die)
    with pytest.raises(RuntimeError, match="killed"):
        search(broken)
    resumed, log = setup(tmp_path, tables)
    search(resumed)
    assert {key for key, _ in log} == {key_of(0)}  # the last candidate comes first


@pytest.mark.parametrize("strategy", ["exhaustive", "racing"])
def test_time_limit_completes_one_candidate_and_says_that_it_was_cut(tmp_path, strategy):
    tables = [np.full(40, 0.5), np.full(40, 0.6), np.full(40, 0.7)]
    plan, _ = setup(tmp_path, tables, strategy=strategy, watch=watch(tmp_path, limit=0.0))
    state = search(plan)
    assert [item.status for item in state.outcomes].count("full") == 1
    assert "time limit" in state.cut_short
    longer, _ = setup(tmp_path, tables, strategy=strategy)
    state = search(longer)
    assert state.cut_short == ""
    assert state.best.candidate == longer.candidates[2]


def test_the_listener_sees_every_improvement(tmp_path):
    seen = []
    tables = [np.full(4, score) for score in (0.5, 0.4, 0.9)]
    plan, _ = setup(tmp_path, tables, on_outcome=lambda state: seen.append(state.best.score))
    search(plan)
    assert seen == pytest.approx([0.9, 0.9, 0.9, 0.9], abs=1e-6)  # the last candidate comes first
    seen.clear()
    plan, _ = setup(tmp_path / "b", tables[::-1], on_outcome=lambda state: seen.append(state.best.score))
    search(plan)
    assert seen == pytest.approx([0.5, 0.9, 0.9, 0.9], abs=1e-6)


def test_rungs_grow_to_all_images():
    assert rungs(64) == [8, 12, 18, 27, 40, 60, 64]
    assert rungs(100) == [8, 12, 18, 27, 40, 60, 90, 100]
    assert rungs(5) == [5]


@pytest.mark.parametrize(("set_only", "seen", "whole"), [(False, 8, 1), (True, 32, 2)])
def test_racing_drops_the_hopeless_early_and_scores_finalists_fully(tmp_path, set_only, seen, whole):
    """Early is later for a score over a set: after an eighth of the images, when two scouts have seen all."""
    rng = np.random.default_rng(1)
    tables = [np.clip(rng.normal(mean, 0.05, 256), 0, 1) for mean in (0.2, 0.3, 0.4, 0.5, 0.6, 0.9)]
    plan, log = setup(tmp_path, tables, strategy="racing", metric=MeanMetric(set_only=set_only))
    state = search(plan)
    assert state.best.candidate == plan.candidates[5]
    assert state.best.images == 256
    assert [item.status for item in state.outcomes] == ["partial"] * (6 - whole) + ["full"] * whole
    assert all(f"behind after {seen} images" in item.note for item in state.outcomes[: 6 - whole])
    assert len(log) == (6 - whole) * seen + whole * 256


def test_a_score_over_a_set_drops_who_trails_beyond_what_an_image_moves(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.2, 64)
    tables = [np.full(64, 0.1), np.full(64, 0.9), 0.899 + noise - noise.mean()]
    plan, log = setup(tmp_path, tables, strategy="racing", metric=MeanMetric(set_only=True))
    assert [item.status for item in search(plan).outcomes] == ["partial", "full", "full"]
    seen = {key: sum(key == other for other, _ in log) for key, _ in log}
    assert seen[plan.prepare(plan.candidates[0]).key] == 8  # the first look


def test_a_set_without_a_score_drops_nobody(tmp_path):
    class Late(MeanMetric):
        def combine(self, records):
            result = super().combine(records)
            return result if len(records) == 64 else replace(result, value=float("nan"), score=None)

    tables = [np.full(64, 0.1), np.full(64, 0.9)]
    plan, _ = setup(tmp_path, tables, strategy="racing", metric=Late(set_only=True))
    assert [item.status for item in search(plan).outcomes] == ["full", "full"]


def test_nobody_is_dropped_while_all_agree_on_all_images(tmp_path):
    """Half of the images are easy for all: the first rungs of most orders tell nothing."""
    for seed in range(10):
        tables = [np.ones(64), np.ones(64), np.ones(64)]
        tables[0][60:], tables[1][62:] = 0, 0
        plan, _ = setup(tmp_path / str(seed), tables, strategy="racing", seed=seed, tolerance=0.001)
        assert search(plan).best.candidate == plan.candidates[2]


@pytest.mark.parametrize("seed", range(10))
def test_racing_stays_within_its_tolerance_of_the_exhaustive_winner(tmp_path, seed):
    rng = np.random.default_rng(seed)
    easy = rng.random(300)
    tables = [(easy + rng.normal(0, 0.2, 300) + 0.01 * index > 0.4).astype(float) for index in range(12)]
    plan, log = setup(tmp_path, tables, strategy="racing", seed=seed)
    best = search(plan).best.score
    assert best >= max(table.mean() for table in tables) - 0.005
    assert len(log) < 12 * 300


def test_racing_visits_each_image_of_a_candidate_once(tmp_path):
    rng = np.random.default_rng(3)
    tables = [rng.random(50) for _ in range(5)]
    plan, log = setup(tmp_path, tables, strategy="racing")
    search(plan)
    assert len(log) == len(set(log))


@pytest.mark.parametrize("strategy", ["exhaustive", "racing"])
def test_an_interruption_ends_with_what_is_finished(tmp_path, strategy):
    runs = 0

    def interrupt():
        nonlocal runs
        runs += 1
        if runs > 5:
            raise KeyboardInterrupt

    tables = [np.full(16, 0.5), np.full(16, 0.6), np.full(16, 0.7)]
    plan, _ = setup(tmp_path, tables, strategy=strategy, on_run=interrupt)
    state = search(plan)
    assert state.cut_short == "interrupted"
    if strategy == "exhaustive":
        assert [item.status for item in state.outcomes] == ["full"]


def test_a_finished_race_is_replayed_from_its_records(tmp_path):
    rng = np.random.default_rng(5)
    tables = [np.clip(rng.normal(0.4 + 0.1 * index, 0.1, 64), 0, 1) for index in range(5)]
    first, _ = setup(tmp_path, tables, strategy="racing")
    before = search(first)
    again, log = setup(tmp_path, tables, strategy="racing")
    assert search(again).outcomes == before.outcomes
    assert log == []
