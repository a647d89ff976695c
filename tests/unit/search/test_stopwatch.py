"""The time limit over several invocations, by a clock that moves only where the test says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slimai.artifacts.journal import Journal
from slimai.search.loop import search
from slimai.search.stopwatch import KEEP_EVERY_S, Stopwatch, seconds_spent
from slimai.search.units import Inline
from tests.unit.search.fakes import setup

BATCH, PLAN = 1.0, 0.25  # seconds of the fake clock
IMAGES, SIZE = 16, 4
STRATEGIES = ("exhaustive", "racing")


class Clock:
    def __init__(self, now=100.0):
        self.now = now

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds


def timed(folder, strategy, limit, *, scores=(0.5, 0.6, 0.7, 0.8), before=0.0, die_after=None):
    """Return (setup, log, clock) of an invocation: planning takes PLAN, a batch BATCH, calibration `before`."""
    folder.mkdir(exist_ok=True)
    clock = Clock()
    watch = Stopwatch(Journal(folder / "journal.jsonl"), "t", limit=limit, clock=clock)
    clock.pass_by(before)
    runs = 0

    def on_run():
        nonlocal runs
        runs += 1
        if die_after is not None and runs > die_after:
            raise RuntimeError("killed")
        clock.pass_by(BATCH)

    rng = np.random.default_rng(2)
    tables = [np.clip(rng.normal(score, 0.3, IMAGES), 0, 1) for score in scores]
    plan, log = setup(folder, tables, strategy=strategy, watch=watch, on_run=on_run)
    prepare = plan.prepare

    def planning(candidate):
        clock.pass_by(PLAN)
        return prepare(candidate)

    return replace(plan, prepare=planning), log, clock


def whole(tmp_path, strategy, **settings):
    """Return the outcomes without a limit, and the seconds that they take."""
    plan, _, clock = timed(tmp_path / "whole", strategy, None, **settings)
    before = clock()
    return search(plan).outcomes, clock() - before


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("limit", [5.0, 6.5, 7.25, 9.1, 11.0])
def test_the_limit_is_kept_within_one_batch_and_one_planning(tmp_path, strategy, limit):
    _, seconds = whole(tmp_path, strategy)
    assert seconds > limit
    plan, _, clock = timed(tmp_path / "cut", strategy, limit)
    before = clock()
    state = search(plan)
    alone = PLAN * len(plan.candidates) + BATCH * IMAGES / SIZE  # all planned, then one completed: always allowed
    assert clock() - before <= max(limit + BATCH + PLAN, alone if strategy == "racing" else PLAN + 4 * BATCH)
    assert state.cut_short.startswith("time limit")
    assert state.best is not None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_limit_again_runs_nothing_and_ends_with_the_same(tmp_path, strategy):
    first, log, _ = timed(tmp_path / "cut", strategy, 6.5)
    before = search(first)
    assert log
    for _ in range(2):
        again, log, clock = timed(tmp_path / "cut", strategy, 6.5)
        start = clock()
        after = search(again)
        assert log == []
        assert clock() == start
        assert after.best == before.best
        assert [item for item in after.outcomes if item.status == "full"] == [
            item for item in before.outcomes if item.status == "full"
        ]
        assert after.cut_short.startswith("time limit")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_steps_of_a_limit_end_with_what_one_run_finds(tmp_path, strategy):
    """Invocations of 3 s more each: their sum is not longer than one run, and every one keeps its own limit."""
    expected, seconds = whole(tmp_path, strategy)
    total, limit, state = 0.0, 0.0, None
    while state is None or state.cut_short:
        limit += 3.0
        plan, _, clock = timed(tmp_path / "steps", strategy, limit)
        before = clock()
        state = search(plan)
        total += clock() - before
        assert total <= max(limit + BATCH + PLAN, PLAN * 4 + BATCH * 4)
    assert state.outcomes == expected
    assert total <= seconds + PLAN * 8  # what was planned and not begun is planned again in the exhaustive search


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_calibration_and_killed_invocations_count(tmp_path, strategy):
    plan, _, clock = timed(tmp_path / "killed", strategy, 20.0, before=5.0, die_after=3)
    with pytest.raises(RuntimeError, match="killed"):
        search(plan)
    spent = seconds_spent(plan.journal, "t")
    assert clock() - 100.0 - KEEP_EVERY_S <= spent <= clock() - 100.0
    assert Stopwatch(plan.journal, "t", limit=20.0, clock=clock).left() == pytest.approx(20.0 - spent, abs=1e-9)
    assert seconds_spent(plan.journal, "another") == 0


def test_time_is_counted_once_when_a_search_extends_another(tmp_path):
    """`mix: auto` and the empirical correction search again with the same stopwatch."""
    plan, _, clock = timed(tmp_path / "one", "exhaustive", None)
    search(replace(plan, candidates=plan.candidates[:2]))
    search(plan)
    assert seconds_spent(plan.journal, "t") == pytest.approx(clock() - 100.0, abs=0.01)


def test_a_finished_search_is_not_cut_short_by_a_limit_that_is_used_up(tmp_path):
    for strategy in STRATEGIES:
        first, _, _ = timed(tmp_path / strategy, strategy, None)
        before = search(first)
        again, log, _ = timed(tmp_path / strategy, strategy, 0.5)
        after = search(again)
        assert (after.outcomes, after.cut_short, log) == (before.outcomes, "", [])


def test_planning_counts_against_the_seconds_of_a_unit(tmp_path):
    """Compiling is part of the unit: a unit whose time is gone after it runs no batch."""
    plan, log, clock = timed(tmp_path / "one", "exhaustive", 100.0)
    runners = plan.executor

    def compile_slowly(candidate):
        clock.pass_by(50.0)
        return runners._runner(candidate)

    slow = replace(plan, executor=Inline(compile_slowly, plan.validation, plan.metric, clock))
    state = search(slow)
    assert clock() - 100.0 <= 100.0 + 50.0 + PLAN
    assert [item.status for item in state.outcomes] == ["full"]
    assert len(log) == IMAGES


def test_one_candidate_is_completed_when_the_first_ones_fail(tmp_path):
    from slimai.errors import SlimaiError

    for strategy in STRATEGIES:
        plan, _, _ = timed(tmp_path / strategy, strategy, 0.1)
        prepare = plan.prepare

        def refuse(candidate, prepare=prepare, plan=plan):
            if candidate != plan.candidates[1]:  # the last is tried first, the middle one last in an exhaustive search
                raise SlimaiError("cannot be planned")
            return prepare(candidate)

        state = search(replace(plan, prepare=refuse))
        assert [item.status for item in state.outcomes if item.status != "failed"] == ["full"]
        assert state.cut_short.startswith("time limit")
