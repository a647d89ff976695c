"""The main job end to end on the networks that ship with slimai."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest

import slimai as slimai_package
from slimai.app.delivery.export_check import ExportCheck, ExportFacts
from tests.e2e.results import result_files


@pytest.fixture(scope="module")
def yolo_run(slimai, tmp_path_factory, cache_dir):
    output = tmp_path_factory.mktemp("yolo")
    done = slimai(
        "+model=yolo",
        "quantization.weight_rounding=nearest",
        f"path.output_dir={output}",
        f"path.tmp_dir={cache_dir}",
        "quantization.accuracy_level=[1,3]",
    )
    return done, output


def test_it_ends_with_a_table_that_fits_eighty_columns(yolo_run):
    done, _ = yolo_run
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Traceback") == 0
    table = done.stdout.rstrip().splitlines()
    assert table[0].startswith("yolo: float score 0.9")
    assert sum("best" in line for line in table) == 1
    rows = [line for line in table if line.startswith("yolo_")]
    assert len(rows) == 6
    assert all(len(line) <= 80 for line in (table[1], table[2], *rows))


def test_levels_one_and_three_keep_the_accuracy(yolo_run):
    _, output = yolo_run
    run = json.loads((output / "run.json").read_text())
    assert run["float"]["score"] >= 0.90
    best = {level: max(c["score"] for c in run["candidates"] if c["accuracy_level"] == level) for level in (1, 3)}
    assert best[3] >= run["float"]["score"] - 0.02
    assert best[1] >= run["float"]["score"] - 0.04
    assert run["cut_short"] is False


def test_result_files_agree_with_each_other(yolo_run):
    _, output = yolo_run
    run = json.loads((output / "run.json").read_text())
    best = (output / "BestProfile.txt").read_text().strip()
    assert best == f"acc{run['best']['accuracy_level']}/{run['best']['profile']}"  # levels share names
    assert (output / best).is_file()
    rows = (output / "FixedPoint_Results.txt").read_text().splitlines()
    assert rows[0].startswith("# profile\taccuracy_level\trange\tvalue\tscore\testimated_ms\timages")
    assert len(rows) == 1 + len(run["candidates"])
    listed = [f"acc{item['accuracy_level']}/{item['profile']}" for item in run["candidates"]]
    assert (output / "ProfileList.txt").read_text().split() == listed
    assert {name.partition("/")[2] for name in listed} == {"yolo_96.yaml", "yolo_98.yaml", "yolo_100.yaml"}
    assert run["best"]["score"] == max(item["score"] for item in run["candidates"])
    assert all(item["latency_ms"] > 0 for item in run["candidates"])


def test_the_saved_models_run_anywhere(yolo_run):
    _, output = yolo_run
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 128, 128), dtype=np.float32)
    answers = []
    for name in ("tvmgen_yolo_slimai_main_0.onnx", "yolo_quant.onnx"):
        model = onnx.load(output / name)
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {session.get_inputs()[0].name: image}))
    for ours, theirs in zip(*answers, strict=True):
        cosine = float((ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs))
        assert cosine > 0.98
    with np.load(output / "yolo_quant.npz", allow_pickle=False) as tables:
        assert any(array.dtype == np.int8 for array in tables.values())
        assert all(array.dtype.kind in "iuf" or array.dtype.kind == "U" for array in tables.values())


def test_the_exported_model_is_checked_at_every_level_of_optimization(yolo_run):
    _, output = yolo_run
    found = json.loads((output / "run.json").read_text())["exported_model"]
    assert list(found["levels"]) == ["disabled", "basic", "extended", "layout", "all"]
    assert found["images"] == 8
    assert found["levels"]["disabled"]["largest_difference"] == 0
    assert all(item["score"] > 0.9 and not item["error"] for item in found["levels"].values())
    assert (found["refused"], found["spelled_out"], found["skipped"]) == ("", [], "")


def test_a_refused_model_is_not_delivered_and_the_run_says_why(monkeypatch, tmp_path, cache_dir):
    why = "Conv_a__1: it falls apart"
    monkeypatch.setattr(ExportCheck, "checked", lambda *_: (None, ExportFacts(images=8, refused=why)))
    told = Told()
    result = slimai_package.run([*GATED, f"path.output_dir={tmp_path}", f"path.tmp_dir={cache_dir}"], reporter=told)
    assert result.missed == (why,)
    assert not list(tmp_path.glob("*_quant.onnx"))
    assert list(tmp_path.glob("*_quant.npz"))
    assert json.loads((tmp_path / "run.json").read_text())["exported_model"]["refused"] == why
    assert f"There is no ONNX model: {why}" in (tmp_path / "report.html").read_text()
    assert any("is not delivered: Conv_a__1: it falls apart" in text for text in told.warnings)


class Told(slimai_package.Silent):
    """Keeps the warnings of a run."""

    def __init__(self):
        super().__init__()
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def test_the_same_command_again_computes_nothing_and_leaves_the_same_bytes(yolo_run, slimai, cache_dir):
    _, output = yolo_run
    before = result_files(output)
    done = slimai(
        "+model=yolo",
        "quantization.weight_rounding=nearest",
        f"path.output_dir={output}",
        f"path.tmp_dir={cache_dir}",
        "quantization.accuracy_level=[1,3]",
    )
    assert done.returncode == 0, done.stderr
    assert "found in the cache" in done.stderr
    after = result_files(output)
    assert [name for name in before | after if after.get(name) != before.get(name)] == []


@pytest.mark.parametrize(("model", "bar"), [("mobilenet_digits", 0.95), ("unet_digits", 0.80)])
def test_the_other_examples_run_too(slimai, tmp_path, cache_dir, model, bar):
    done = slimai(f"+model={model}", f"path.output_dir={tmp_path}", f"path.tmp_dir={cache_dir}")
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["float"]["score"] >= bar
    assert run["best"]["score"] >= run["float"]["score"] - 0.03


def test_stages_stop_where_they_are_told(slimai, tmp_path, cache_dir):
    done = slimai(
        "+model=mobilenet_digits",
        "quantization.weight_rounding=nearest",
        f"path.output_dir={tmp_path}",
        f"path.tmp_dir={cache_dir}",
        "stages=[gen_quant_profile]",
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert "mobilenet_digits_100.yaml" in names
    assert not any(re.search("quant.onnx|BestProfile", name) for name in names)


GATED = (
    "+model=yolo",
    "quantization.range=97",
    "quantization.accuracy_level=0",
    "quantization.weight_rounding=nearest",
    "dataset.calibration_count=4",
    "dataset.validation_count=12",
)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (("metric.fail_under=1",), "is under metric.fail_under 1"),
        (("smart_search.latency_limit=0.001",), "missed: no candidate keeps latency_limit 0.001 ms"),
        (("smart_search.arena_limit=10",), "missed: no candidate keeps arena_limit 10 bytes"),
        (("smart_search.latency_limit=100", "metric.fail_under=0.1"), ""),
    ],
)
def test_a_missed_bound_is_a_finished_run_with_exit_code_3(slimai, tmp_path, cache_dir, bounds, said):
    done = slimai(*GATED, f"path.output_dir={tmp_path}", f"path.tmp_dir={cache_dir}", *bounds)
    assert done.returncode == (3 if said else 0), done.stderr
    assert said in done.stdout
    assert ("\nmissed: " in done.stdout) == bool(said)
    assert (tmp_path / "run.json").is_file()


def test_a_multirun_with_a_missed_bound_ends_with_exit_code_3(slimai, tmp_path, cache_dir):
    places = (f"path.output_dir={tmp_path}", f"path.tmp_dir={cache_dir}")
    done = slimai("-m", *GATED, *places, "metric.fail_under=0.1,1")
    assert done.returncode == 3, done.stderr
    assert [row["status"] for row in json.loads((tmp_path / "multirun.json").read_text())["jobs"]] == ["done", "missed"]


def test_another_bound_makes_no_result_stale(slimai, tmp_path, cache_dir):
    places = (f"path.output_dir={tmp_path}", f"path.tmp_dir={cache_dir}")
    assert slimai(*GATED, *places).returncode == 0
    again = slimai(*GATED, *places, "metric.fail_under=0.2")
    assert again.returncode == 0
    assert "earlier results" not in again.stdout + again.stderr
