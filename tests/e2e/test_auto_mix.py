"""`mix: auto`: the goal is reached with few nodes, the rules file is that network, latency is kept, misses are told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.e2e.results import result_files

# similarity with float has no plateaus, so that every goal between 8 and 16 bit can be asked for
WORDS = (
    *(
        "+model=mobilenet_digits",
        "quantization.weight_rounding=nearest",
        "quantization.accuracy_level=1",
        "quantization.range=100",
        "metric.metric_cls=cosine",
    ),
    *("dataset.validation_count=64", "dataset.calibration_count=32", "quantization.bias_correction=false"),
)
pytestmark = pytest.mark.slow
MISSED = 3  # the exit code of a run that is done but misses a stated bound


@pytest.fixture(scope="module")
def run_mix(slimai, tmp_path_factory, cache_dir):
    """Return a function that runs `mix: auto` with a goal and returns what was said, the folder and its run.json."""

    def run(*words, output=None, code=0):
        output = output or tmp_path_factory.mktemp("mix")
        done = slimai(*WORDS, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}", *words)
        assert done.returncode == code, done.stderr
        return done.stderr + done.stdout, output, json.loads((output / "run.json").read_text())

    return run


@pytest.fixture(scope="module")
def whole(run_mix):
    """Return the run in which the latency leaves room for all layers: base and all-16-bit figures."""
    return run_mix("quantization.mix=auto", "quantization.mix_goal.latency_ms=1000")


@pytest.fixture(scope="module")
def found(run_mix, whole):
    base, wide = whole[2]["candidates"]
    goal = (base["score"] + wide["score"]) / 2
    return goal, *run_mix("quantization.mix=auto", f"quantization.mix_goal.score={goal}")


def test_room_for_all_raises_all(whole):
    _, _, run = whole
    base, wide = run["candidates"]
    assert base["raised"] == []
    assert wide["score"] > base["score"]
    assert wide["latency_ms"] > base["latency_ms"]
    assert wide["profile"] == "mobilenet_digits_100_mix.yaml"


def test_the_goal_is_reached_with_fewer_than_all_layers(found, whole):
    goal, told, output, run = found
    base, wide = whole[2]["candidates"]
    delivered = run["delivered"]
    assert delivered["score"] >= goal > base["score"]
    assert 0 < len(delivered["raised"]) < len(wide["raised"])
    assert base["latency_ms"] < delivered["latency_ms"] < wide["latency_ms"]
    assert delivered["variant"] == "mix"
    assert (output / "BestProfile.txt").read_text() == "mobilenet_digits_100_mix.yaml\n"
    assert [row["variant"] for row in run["candidates"]][:1] == [""]
    assert run["best"]["key"] == delivered["key"] or "delivered: mobilenet_digits_100_mix" in told
    reaching = [row["latency_ms"] for row in run["candidates"] if row["score"] >= goal]
    assert delivered["latency_ms"] == min(reaching)
    layers = len(wide["raised"])
    assert len(run["candidates"]) <= 2 + int(np.ceil(np.log2(layers))) + 4, "log2 of the layers, and four removals"


def test_profile_model_and_dots_are_those_of_the_mixed_network(found):
    _, _, output, run = found
    profile = (output / "mobilenet_digits_100_mix.yaml").read_text()
    assert "Dtype:          s16" in profile
    assert sorted(path.name for path in output.glob("mobilenet_digits_100*.yaml")) == ["mobilenet_digits_100_mix.yaml"]
    with np.load(output / "mobilenet_digits_quant.npz", allow_pickle=False) as tables:
        assert any(array.dtype == np.int16 for array in tables.values())
    dot = (output / "dot_path" / "mobilenet_digits_2_before_requantization.dot").read_text()
    raised = run["delivered"]["raised"]
    boxes = [line for line in dot.splitlines() if line.startswith(tuple(f'  "{name}" [' for name in raised))]
    assert len(boxes) == len(raised)
    assert all("in s16" in box and "out s16" in box for box in boxes)


def test_the_rules_file_given_back_is_the_same_integer_network(found, run_mix):
    _, _, output, run = found
    rules = output / "mix_auto.yaml"
    told, again, manual = run_mix("quantization.mix=true", f"quantization.nodename_datatypes={rules}")
    assert manual["best"]["key"] == run["delivered"]["key"]
    assert manual["best"]["score"] == run["delivered"]["score"]
    for name in ("mobilenet_digits_quant.onnx", "mobilenet_digits_quant.npz"):
        assert (again / name).read_bytes() == (output / name).read_bytes(), name
    assert "mix: " in told


def test_a_run_that_was_cut_anywhere_continues_to_the_same_bytes(found, run_mix):
    goal, _, output, _ = found
    before = result_files(output)
    journal = output / ".slimai" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) > 4
    journal.write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"torn')
    (output / "mix_auto.yaml").unlink()
    run_mix("quantization.mix=auto", f"quantization.mix_goal.score={goal}", output=output)
    after = result_files(output)
    assert after.keys() == before.keys()
    assert [name for name, data in before.items() if after[name] != data] == []


def test_a_finished_search_is_not_cut_short_by_a_limit_that_is_used_up(found, run_mix):
    goal, _, output, _ = found
    before = result_files(output)
    words = ("quantization.mix=auto", f"quantization.mix_goal.score={goal}", "+smart_search.time_limit=0.001")
    told, _, run = run_mix(*words, output=output)
    assert run["cut_short"] is False
    assert "sense layers" not in told
    asked = {"run.json", "report.html", "run.lock.yaml"}  # they tell the limit that was asked for
    kept = {name: data for name, data in result_files(output).items() if name not in asked}
    assert {name: before[name] for name in kept} == kept


def test_a_latency_goal_is_kept_with_one_evaluation(whole, run_mix):
    base, wide = whole[2]["candidates"]
    limit = round((base["latency_ms"] + wide["latency_ms"]) / 2, 4)
    _, output, run = run_mix("quantization.mix=auto", f"quantization.mix_goal.latency_ms={limit}")
    first, mixed = run["candidates"]
    assert first["key"] == base["key"]
    assert mixed["latency_ms"] <= limit
    assert len(mixed["raised"]) > 0
    assert mixed["score"] > first["score"]
    assert run["delivered"]["profile"] == mixed["profile"]
    assert f"# goal:  latency_limit {limit:g} ms, reached" in (output / "mix_auto.yaml").read_text()


def test_a_goal_out_of_reach_is_told_and_the_best_is_delivered(run_mix, whole):
    wide = whole[2]["candidates"][1]
    told, output, run = run_mix("quantization.mix=auto", "quantization.mix_goal.score=1", code=MISSED)
    layers = len(wide["raised"])
    assert f"score 1 is not reached even with all {layers} layers in 16 bit: the best found is delivered" in told
    assert run["delivered_note"] == "no candidate keeps score 1: the best score is delivered"
    assert run["delivered"]["score"] == max(row["score"] for row in run["candidates"])
    assert run["delivered"]["key"] == wide["key"]
    assert "NOT reached" in (output / "mix_auto.yaml").read_text()


def test_a_goal_that_8_bit_reaches_raises_nothing(run_mix, whole):
    base = whole[2]["candidates"][0]
    told, output, run = run_mix("quantization.mix=auto", "quantization.mix_goal.max_drop=1")
    assert "max_drop 1 is reached without a node in 16 bit" in told
    assert [row["key"] for row in run["candidates"]] == [base["key"]]
    assert (output / "mix_auto.yaml").read_text().endswith("\n[]\n")


def test_the_time_limit_leaves_the_base_delivered_and_says_so(run_mix):
    words = ("quantization.mix=auto", "quantization.mix_goal.score=1", "+smart_search.time_limit=0.001")
    told, output, run = run_mix(*words, code=MISSED)
    assert run["cut_short"]
    assert run["cut_short_reason"] == "time limit before any node was raised to 16 bit"
    assert "cut short: time limit before any node was raised" in told
    assert [row["variant"] for row in run["candidates"]] == [""]
    assert (output / "mix_auto.yaml").read_text().endswith("\n[]\n")


def test_two_levels_are_refused(slimai, tmp_path):
    words = ("quantization.mix=auto", "quantization.mix_goal.score=0.9", "quantization.accuracy_level=[1,2]")
    done = slimai(*WORDS[:1], *WORDS[2:], f"path.output_dir={tmp_path / 'out'}", *words)
    assert done.returncode == 2
    assert "quantization.accuracy_level: mix: auto raises layers of one level" in done.stderr
    assert not (tmp_path / "out" / "run.json").exists()
