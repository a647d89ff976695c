"""`mix: auto` under a budget of weight bytes, of the arena, or of a share of the multiply-accumulates."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

SMALL = (
    "+model=mobilenet_digits",
    "quantization.mix=auto",
    "quantization.accuracy_level=1",
    "quantization.weight_rounding=nearest",
    "quantization.range=100",
    "dataset.calibration_count=8",
    "dataset.validation_count=24",
)


def run(slimai, out, cache_dir, *words):
    return slimai(*SMALL, f"path.output_dir={out}", f"path.tmp_dir={cache_dir}", *words)


def weight_bytes(out):
    """Return the bytes of the weights in the integer tables: the arrays named weight, as they are stored."""
    with np.load(next(out.glob("*_quant.npz")), allow_pickle=False) as tables:
        names = [name for name in tables.files if name.rpartition("/")[2] == "weight"]
        assert names
        return sum(tables[name].nbytes for name in names)


def raised(done):
    """Return how many layers the set that was scored has in 16 bit; the better score is delivered, mixed or not."""
    [found] = re.findall(r"mix: (\d+) layers in 16 bit: score", done.stderr)
    return int(found)


@pytest.fixture(scope="module")
def plain(slimai, tmp_path_factory, cache_dir):
    out = tmp_path_factory.mktemp("plain")
    done = run(slimai, out, cache_dir, "quantization.mix=false")
    assert done.returncode == 0, done.stderr
    return weight_bytes(out)


def test_weights_grow_as_far_as_the_budget_lets_them(slimai, tmp_path, cache_dir, plain):
    budget = round(1.5 * plain)
    done = run(slimai, tmp_path, cache_dir, f"quantization.mix_goal.weight_bytes={budget}")
    assert done.returncode == 0, done.stderr
    assert raised(done) > 0
    assert weight_bytes(tmp_path) <= budget
    assert f"# goal:  weight_bytes {budget}, reached" in (tmp_path / "mix_auto.yaml").read_text()
    best = json.loads((tmp_path / "run.json").read_text())["delivered"]
    assert best["score"] is not None


def test_a_budget_that_nothing_keeps_is_missed(slimai, tmp_path, cache_dir, plain):
    done = run(slimai, tmp_path, cache_dir, f"quantization.mix_goal.weight_bytes={plain // 2}")
    assert done.returncode == 3
    assert f"missed: no candidate keeps weight_bytes {plain // 2}" in done.stdout


def test_a_share_of_the_work_in_16_bit(slimai, tmp_path, cache_dir):
    done = run(slimai, tmp_path, cache_dir, "quantization.mix_goal.max_share=0.25")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "mix_auto.yaml").read_text()
    assert "# goal:  max_share 0.25, reached" in text
    assert raised(done) > 0


def arena(out):
    """Return the arena that the C code of the delivered network declares."""
    return json.loads((out / "run.json").read_text())["delivered"]["arena"]


def test_the_arena_grows_as_far_as_the_budget_lets_it(slimai, tmp_path, cache_dir):
    large, plain = tmp_path / "large", tmp_path / "plain"
    done = run(slimai, large, cache_dir, "quantization.mix_goal.arena_bytes=1MiB")
    assert done.returncode == 0, done.stderr
    assert "# goal:  arena_bytes 1048576, reached" in (large / "mix_auto.yaml").read_text()
    every = raised(done)
    run(slimai, plain, cache_dir, "quantization.mix=false")
    least = arena(plain)
    budget = round(1.4 * least)
    done = run(slimai, tmp_path / "some", cache_dir, f"quantization.mix_goal.arena_bytes={budget}")
    assert done.returncode == 0, done.stderr
    assert 0 < raised(done) < every
    assert arena(tmp_path / "some") <= budget
    done = run(slimai, tmp_path / "none", cache_dir, f"quantization.mix_goal.arena_bytes={least - 1}")
    assert done.returncode == 3
    assert f"missed: no candidate keeps arena_bytes {least - 1}" in done.stdout


def test_two_goals_are_refused(slimai, tmp_path, cache_dir):
    goals = ("quantization.mix_goal.max_share=0.25", "quantization.mix_goal.score=0.5")
    done = run(slimai, tmp_path, cache_dir, *goals)
    assert done.returncode == 2
    assert (
        "should be exactly one of max_drop, score, latency_ms, weight_bytes, arena_bytes and max_share" in done.stderr
    )
