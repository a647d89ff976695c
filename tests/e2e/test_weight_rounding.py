"""`weight_rounding`: what is delivered is rounded to keep its outputs, scored again, told, and resumed after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.results import result_files

pytestmark = pytest.mark.slow
BASE = (
    "+model=mobilenet_digits",
    "dataset.validation_count=48",
    "dataset.calibration_count=24",
    "quantization.range=100",
)


def run_of(slimai, output, cache, *words):
    done = slimai(*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache}", *words)
    assert done.returncode == 0, done.stderr
    return done.stderr, json.loads((output / "run.json").read_text())


@pytest.fixture(scope="module")
def default(slimai, tmp_path_factory):
    output, cache = tmp_path_factory.mktemp("default"), tmp_path_factory.mktemp("rounding-cache")
    return output, cache, *run_of(slimai, output, cache, "quantization.accuracy_level=0")


def test_auto_rounds_what_it_would_deliver_and_keeps_it_unless_it_is_worse(default):
    output, _, told, document = default
    rows = {row["variant"]: row for row in document["candidates"]}
    assert set(rows) == {"", "compensated"}
    assert rows["compensated"]["profile"] == "mobilenet_digits_100_compensated.yaml"
    assert rows["compensated"]["key"] != rows[""]["key"]
    kept = rows["compensated"]["score"] >= rows[""]["score"]
    assert document["best"]["variant"] == ("compensated" if kept else "")
    assert (output / document["best"]["profile"]).exists()
    assert "weight rounding: score" in told
    facts = document["weight_rounding"]
    assert facts["delivered"] is kept
    assert any(row["kept"] for row in facts["layers"])
    for row in facts["layers"]:
        if row["nearest_error"] is not None:
            assert row["kept"] == (row["rounded_error"] < row["nearest_error"])
        else:
            assert row["why"]
    page = (output / "report.html").read_text()
    assert 'id="rounding-table"' in page
    assert page.count("held-out") >= sum(row["why"].startswith("held-out") for row in facts["layers"])


def test_the_second_run_finds_everything_and_leaves_the_same_bytes(default, slimai):
    output, cache, _, _ = default
    before = result_files(output)
    told, _ = run_of(slimai, output, cache, "quantization.accuracy_level=0")
    assert "found in the cache" in told
    assert result_files(output) == before


def test_workers_find_the_same_integers_and_scores(default, slimai, tmp_path):
    _, cache, _, _ = default
    words = ("quantization.accuracy_level=[0,1]", "quantization.weight_rounding=[nearest,compensated]")
    rows = []
    for workers in (1, 2):
        _, document = run_of(slimai, tmp_path / str(workers), cache, *words, f"smart_search.workers={workers}")
        rows.append(document["candidates"])
    assert rows[0] == rows[1]
    assert {(row["accuracy_level"], row["variant"]) for row in rows[0]} == {
        (level, variant) for level in (0, 1) for variant in ("", "compensated")
    }


def test_a_killed_rounding_goes_on_where_it_was_and_ends_with_the_same_bytes(default, slimai, tmp_path):
    cache, output = tmp_path / "cache", tmp_path / "out"
    words = [*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache}", "quantization.accuracy_level=0"]
    command = [sys.executable, "-m", "slimai", *words]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 240
    while not list(cache.glob("*.layers/2.npz")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (output / "mobilenet_digits_quant.onnx").exists(), "the nearest model is on disk first"
    assert json.loads((output / "run.json").read_text())["best"]["variant"] == ""
    run_of(slimai, output, cache, "quantization.accuracy_level=0")
    assert result_files(output) == result_files(default[0])
    assert not list(cache.glob("*.layers"))
    assert not (output / ".slimai" / "rounding").exists()


def test_compensated_alone_has_the_nearest_model_on_disk_and_keeps_the_time_limit(default, slimai, tmp_path):
    words = ("quantization.accuracy_level=0", "quantization.weight_rounding=compensated")
    output, cache = tmp_path / "out", tmp_path / "cache"
    told, document = run_of(slimai, output, cache, *words, "+smart_search.time_limit=0.01")
    assert "weight rounding: not finished, nearest weights are delivered (time limit after 0 of" in told
    assert [row["variant"] for row in document["candidates"]] == [""]
    assert (output / "mobilenet_digits_quant.onnx").exists()
    assert (output / "mobilenet_digits_100.yaml").exists()
    _, document = run_of(slimai, output, default[1], *words)
    assert [row["variant"] for row in document["candidates"]] == ["compensated"]
    assert not (output / "mobilenet_digits_100.yaml").exists(), "the profile of the stand-in is gone"


def test_level_4_and_single_shot(default, slimai, tmp_path):
    _, cache, _, _ = default
    _, document = run_of(slimai, tmp_path / "four", cache, "quantization.accuracy_level=4")
    assert [row["variant"] for row in document["candidates"]] == [""]
    assert document["weight_rounding"] is None
    _, document = run_of(slimai, tmp_path / "single", cache, "quantization.histogram_bins=2048")
    assert {row["profile"] for row in document["candidates"]} == {
        "mobilenet_digits_ImprovedMSE.yaml",
        "mobilenet_digits_ImprovedMSE_compensated.yaml",
    }
    assert {row.get("rounded_at") for row in document["candidates"]} == {None, "own limits"}
