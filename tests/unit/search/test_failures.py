"""A candidate that cannot be planned, compiled or run: listed, never best, and the others go on."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from slimai.artifacts.journal import Journal
from slimai.errors import InputError, SlimaiError
from slimai.search.evaluate import Runner
from slimai.search.loop import search
from slimai.search.results import results_text
from slimai.search.stopwatch import Stopwatch
from slimai.search.units import Inline, Measured
from tests.unit.search.fakes import Loud, MeanMetric, key_of, setup

STRATEGIES = ("exhaustive", "racing")
WHERE = ("planning", "compiling", "first batch", "last batch")
TABLES = [np.full(16, score) for score in (0.9, 0.5, 0.7)]


def broken(tmp_path, strategy, where, bad=(0,), error=SlimaiError, **settings):
    """Return (setup, log) of a search in which the candidates `bad` fail at `where`."""
    plan, log = setup(tmp_path, TABLES, strategy=strategy, reporter=Loud(), **settings)
    refused = {plan.candidates[index] for index in bad}
    prepare, runner = plan.prepare, plan.executor._runner

    def planning(candidate):
        if where == "planning" and candidate in refused:
            raise error("node conv1: no such arithmetic")
        return prepare(candidate)

    def compiling(candidate) -> Runner:
        if where == "compiling" and candidate in refused:
            raise error("node conv1: no such arithmetic")
        run, batches = runner(candidate), 0

        def fail_late(feeds):
            nonlocal batches
            batches += 1
            last = where == "last batch" and 0 in feeds["x"][:, 0] if strategy == "racing" else batches == 4
            if candidate in refused and (where == "first batch" or (where == "last batch" and last)):
                raise error("node conv1: no such arithmetic")
            return run(feeds)

        return fail_late

    executor = Inline(compiling, plan.validation, plan.metric)
    return replace(plan, prepare=planning, executor=executor), log


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("where", WHERE)
def test_the_search_goes_on_and_lists_the_failed_one(tmp_path, strategy, where):
    plan, _ = broken(tmp_path, strategy, where)
    state = search(plan)
    failed = state.outcomes[0]
    assert [item.candidate for item in state.outcomes] == list(plan.candidates)
    assert (failed.status, failed.score, failed.value, failed.images) == ("failed", None, None, 0)
    assert failed.note == "node conv1: no such arithmetic"
    assert state.best.candidate == plan.candidates[2]
    assert state.cut_short == ""
    assert plan.reporter.warnings == ["net_90 level 1 failed: node conv1: no such arithmetic"]
    row = results_text("net", state.outcomes).splitlines()[1].split("\t")
    assert row == ["net_90.yaml", "1", "90", "-", "failed", "-" if where == "planning" else "1.000", "0"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_integers_fail_together(tmp_path, strategy):
    plan, log = broken(tmp_path, strategy, "compiling", bad=(0, 1), keys=[key_of(0), key_of(0), key_of(2)])
    state = search(plan)
    assert [item.status for item in state.outcomes] == ["failed", "failed", "full"]
    assert len(plan.reporter.warnings) == 1
    assert len(log) == 16


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_failed_one_is_tried_again_by_the_next_invocation_only(tmp_path, strategy):
    plan, _ = broken(tmp_path, strategy, "compiling")
    search(plan)
    search(plan)
    assert len(plan.reporter.warnings) == 1
    mended, _ = setup(tmp_path, TABLES, strategy=strategy)
    state = search(mended)
    assert state.best.candidate == mended.candidates[0]
    untouched, _ = setup(tmp_path / "untouched", TABLES, strategy=strategy)
    assert state.outcomes == search(untouched).outcomes


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("where", WHERE)
def test_all_failing_ends_with_the_reasons_and_tells_no_listener(tmp_path, strategy, where):
    told = []
    plan, _ = broken(tmp_path, strategy, where, bad=(0, 1, 2), on_outcome=told.append)
    with pytest.raises(SlimaiError, match=r"smart_search: all 3 candidates failed\nnet_90 level 1, .*: node conv1: no"):
        search(plan)
    assert told == []


def test_one_input_error_of_all_is_raised_as_it_is(tmp_path):
    plan, _ = broken(tmp_path, "exhaustive", "first batch", bad=(0, 1, 2), error=InputError)
    with pytest.raises(InputError, match=r"^node conv1: no such arithmetic$"):
        search(plan)


def test_other_errors_are_not_taken_for_the_candidate_s(tmp_path):
    plan, _ = broken(tmp_path, "exhaustive", "first batch", error=OSError)
    with pytest.raises(OSError, match="conv1"):
        search(plan)


class Refusing(MeanMetric):
    """A mean that refuses what scores above 0.8, once it sees at least `images`."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def combine(self, records):
        result = super().combine(records)
        if result.score > 0.8 and len(records) >= self.images:
            raise SlimaiError("metric_plugin/mine.py:9: AssertionError")
        return result


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("images", [1, 12, 16])
def test_a_candidate_whose_results_the_metric_refuses_is_failed(tmp_path, strategy, images):
    plan, _ = setup(tmp_path, TABLES, strategy=strategy, metric=Refusing(images), reporter=Loud())
    state = search(plan)
    assert state.outcomes[0].status == "failed"
    assert state.outcomes[0].note == "metric_plugin/mine.py:9: AssertionError"
    assert state.best.candidate == plan.candidates[2]
    late, _ = setup(
        tmp_path / "late",
        TABLES,
        strategy=strategy,
        metric=Refusing(images),
        watch=Stopwatch(Journal(tmp_path / "late.jsonl"), "t", limit=0.0),
    )
    assert search(late).best is not None


def test_what_failed_in_another_process_says_the_same_here():
    error = InputError.at("conv1", "multiplier does not fit 16 bits", 70000.0, cure="raise the output's range")
    found = pickle.loads(pickle.dumps(Measured((), complete=False, error=error)))  # noqa: S301
    assert type(found.error) is InputError
    assert str(found.error) == "conv1: multiplier does not fit 16 bits (got 70000.0); raise the output's range"
