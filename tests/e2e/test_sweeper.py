"""hydra/sweeper=smart_search: the best combination of any overrides, without running all of them."""

from __future__ import annotations

import csv
import json

from slimai.config.sweep_axes import read_axes


def test_coordinate_descent_over_overrides(slimai, tmp_path, cache_dir):
    done = slimai(
        "-m",
        "+model=mobilenet_digits",
        "quantization.weight_rounding=nearest",
        f"path.output_dir={tmp_path}",
        f"path.tmp_dir={cache_dir}",
        "quantization.range=100",
        "hydra/sweeper=smart_search",
        "quantization.accuracy_level=0,1,3",
        "quantization.range_mode=scale,percentile",
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "smart_search.json").read_text())
    scores = [job["score"] for job in found["jobs"]]
    assert len(scores) == 4, "3 levels and then 1 other mode, not 6 combinations"
    assert found["score"] == max(scores)
    assert found["best"] == found["jobs"][scores.index(max(scores))]["overrides"]
    assert done.stdout.count("done") == 4
    jobs = json.loads((tmp_path / "multirun.json").read_text())["jobs"]
    with (tmp_path / "multirun.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(job["job"], job["status"], job["score"]) for job in jobs] == [
        (number, "done", score) for number, score in enumerate(scores)
    ]
    for job, tried in zip(jobs, found["jobs"], strict=True):
        words = [word.lstrip("+") for word in tried["overrides"]]
        assert job["overrides"].split() == [word for word in words if not word.startswith("path.")]
    for row, job in zip(rows, jobs, strict=True):
        low, high = job.pop("interval")
        expected = {**job, "low": low, "high": high}
        assert row == {key: "" if value is None else str(value) for key, value in expected.items()}
    assert f"summary: {tmp_path / 'multirun.csv'}" in done.stdout


def test_axes_of_a_command_line():
    axes = read_axes(["+model=a", "x=1,2,3", "y='b c',d"])
    assert axes.fixed == ["+model=a"]
    assert axes.keys == ["x", "y"]
    assert axes.overrides((2, 1)) == ["+model=a", "x=3", "y=d"]
