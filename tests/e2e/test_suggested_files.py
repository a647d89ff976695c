"""The files that a run suggests are given back to the same command as they are: nothing is refused, nothing is lost."""

from __future__ import annotations

import json
import shlex

import pytest

FEW = ("dataset.validation_count=24", "dataset.calibration_count=8", "quantization.weight_rounding=nearest")
# limits that cut: rules (16 bit for a layer) and edited limits are worth it; cosine sees every change of an output
RUNS = {
    "yolo": ("quantization.accuracy_level=1", "quantization.range=95"),
    "mobilenet_digits": ("quantization.accuracy_level=1", "quantization.range=90", "metric.metric_cls=cosine"),
}


def run(slimai, out, cache_dir, *words):
    done = slimai(*words, *FEW, f"path.output_dir={out}", f"path.tmp_dir={cache_dir}")
    assert done.returncode == 0, done.stderr
    return json.loads((out / "run.json").read_text()), done


def given_back(done, name):
    """Return the words that the end of a run says to add for the suggested file of this name."""
    [line] = [
        line for line in done.stdout.splitlines() if line.startswith("to use those that help together") and name in line
    ]
    return shlex.split(line.partition(": ")[2])


def score(run):
    return run["delivered"]["score"]


@pytest.mark.slow
@pytest.mark.parametrize("model", RUNS)
def test_suggested_files_are_taken_unchanged_and_lose_nothing(model, slimai, cache_dir, tmp_path):
    words = (f"+model={model}", *RUNS[model])
    first, done = run(slimai, tmp_path / "first", cache_dir, *words)
    assert "suggested_adjust.yaml" in first["suggested"]
    for name in first["suggested"]:
        file = tmp_path / "first" / name
        before = file.read_bytes()
        second, _ = run(slimai, tmp_path / f"with_{name}", cache_dir, *words, *given_back(done, name))
        assert file.read_bytes() == before
        assert score(second) >= score(first), name
        assert second["delivered"]["accuracy_level"] == first["delivered"]["accuracy_level"]
