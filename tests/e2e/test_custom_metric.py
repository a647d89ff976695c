"""The main job with a metric of the user's own, found beside the current folder."""

from __future__ import annotations

import json

import pytest

PLUGIN = """\
from file_utils import blob_file_reader
from metric import metric_register, custom_metric_base

@metric_register
class mean_top(custom_metric_base):
    def __init__(self):
        self.scale = 1.0
    def init_params(self, params):
        self.scale = float(params.partition("=")[2])
    def load_and_analysis(self, blobsfile, imglist):
        scores = [blob_file_reader(blobs[0]) for blobs in self._prep_filelist(blobsfile, imglist)]
        assert {score.shape for score in scores} == {(1, 10)}
        return self.accumulate_results(scores)
    def accumulate_results(self, scores):
        return self.scale * sum(float(score.max()) > 0 for score in scores) / len(scores)
"""
JOB = [
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "metric.metric_cls=mean_top",
    "dataset.validation_count=16",
    "dataset.calibration_count=8",
]


@pytest.fixture
def folder(tmp_path):
    plugins = tmp_path / "slimai_custom_metric" / "metric_plugin"
    plugins.mkdir(parents=True)
    (plugins / "mean_top.py").write_text(PLUGIN)
    return tmp_path


@pytest.mark.slow
def test_a_plugin_scores_a_search(folder, slimai):
    done = slimai(
        *JOB, "metric.metric_input='scale=0.5'", "quantization.range='98:100:2'", "path.output_dir=out", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    run = json.loads((folder / "out" / "run.json").read_text())
    assert (run["float"]["value"], run["float"]["score"]) == (0.5, 0.5)
    assert [candidate["score"] for candidate in run["candidates"]] == [0.5, 0.5]


@pytest.mark.slow
def test_a_value_outside_the_range(folder, slimai):
    job = [*JOB, "metric.metric_input='scale=1.7'", "path.output_dir=out"]
    several = slimai(*job, "quantization.range='98:100:2'", cwd=folder)
    assert several.returncode == 2
    assert "mean_top gives 1.7 for the float network, outside 0..1: candidates cannot be compared; " in several.stderr
    assert "metric.score_range: [lo, hi]" in several.stderr
    single = slimai(*job, "quantization.range=100", cwd=folder)
    assert single.returncode == 0, single.stderr
    candidate = json.loads((folder / "out" / "run.json").read_text())["candidates"][0]
    assert (candidate["value"], candidate["score"]) == (1.7, None)
    scaled = slimai(*job, "quantization.range='98:100:2'", "metric.score_range=[0,2]", cwd=folder)
    assert scaled.returncode == 0, scaled.stderr
    assert json.loads((folder / "out" / "run.json").read_text())["best"]["score"] == pytest.approx(0.85)


@pytest.mark.slow
def test_a_mistake_in_the_plugin_names_its_line(folder, slimai):
    file = folder / "slimai_custom_metric" / "metric_plugin" / "mean_top.py"
    file.write_text(PLUGIN.replace("return self.accumulate", "open('label.xml'); return self.accumulate"))
    done = slimai(*JOB, "metric.metric_input='scale=1'", "path.output_dir=out", cwd=folder)
    assert done.returncode == 1
    assert f"{file}:13: mean_top.load_and_analysis failed: FileNotFoundError: " in done.stderr
    assert "Traceback" not in done.stderr
    wrong = slimai(*JOB, "metric.metric_input='scale=much'", "path.output_dir=other", cwd=folder)
    assert wrong.returncode == 1
    assert f"{file}:9: mean_top.init_params failed: ValueError: could not convert" in wrong.stderr


REFUSING = """\
from file_utils import blob_file_reader
from metric import metric_register, custom_metric_base

@metric_register
class proud(custom_metric_base):
    def init_params(self, params):
        self.least = float(params.partition("=")[2])
    def load_and_analysis(self, blobsfile, imglist):
        scores = [blob_file_reader(blobs[0]) for blobs in self._prep_filelist(blobsfile, imglist)]
        return self.accumulate_results(scores)
    def accumulate_results(self, scores):
        spread = sum(float(score.max() - score.min()) for score in scores) / len(scores)
        assert spread > self.least, "the logits are too flat"
        return min(1.0, spread / 100)
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("smart_search.strategy=racing",), ("smart_search.workers=2",)])
def test_a_candidate_that_the_plugin_refuses_is_listed_as_failed(tmp_path, slimai, more):
    plugins = tmp_path / "slimai_custom_metric" / "metric_plugin"
    plugins.mkdir(parents=True)
    (plugins / "proud.py").write_text(REFUSING)
    words = [
        *(word for word in JOB if "metric_cls" not in word),
        "metric.metric_cls=proud",
        "path.output_dir=out",
        "quantization.range='20:100:80'",
    ]
    done = slimai(*words, "metric.metric_input='least=0'", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    flat, wide = (item["score"] for item in json.loads((tmp_path / "out" / "run.json").read_text())["candidates"])
    assert flat < wide
    words = [*words, f"metric.metric_input='least={50 * (flat + wide)}'", *more]
    done = slimai(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    failed, best = run["candidates"]
    assert (failed["status"], failed["score"]) == ("failed", None)
    assert "proud.py:13" in failed["note"]
    assert "the logits are too flat" in failed["note"]
    assert run["best"] == best
    assert run["cut_short"] is False
    assert "warning: mobilenet_digits_20 level 1 failed: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines() if "_20 " in line] == ["failed"]
    assert "failed" in (tmp_path / "out" / "FixedPoint_Results.txt").read_text().splitlines()[1].split("\t")
    assert "the logits are too flat" in (tmp_path / "out" / "report.html").read_text()
    all_bad = slimai(*words[: -1 - len(more)], f"metric.metric_input='least={100 * wide}'", *more, cwd=tmp_path)
    assert all_bad.returncode == 1
    assert "the logits are too flat" in all_bad.stderr
