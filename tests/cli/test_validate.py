"""`slimai validate`: targets, forms of the answer, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from slimai.app.cli import main

PRESET = """\
# @package _global_
path:
  output_dir: out
  image_dir: images
network:
  input_model: net.onnx
dataset:
  calibration_set: calib.txt
  calibration_count: 2
metric:
  metric_cls: cosine
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "net.onnx").write_bytes(b"")
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_bytes(b"")
    (tmp_path / "images" / "calib.txt").write_text("2\na.png\nb.png\n")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "net.yaml").write_text(PRESET)
    return tmp_path


def validate(capsys, *words):
    code = main(["validate", *words])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out.splitlines()


def test_a_valid_preset(folder, capsys):
    assert validate(capsys, "+model=net") == (0, ["valid: 0 errors, 0 warnings"])


def test_a_valid_file_with_overrides(folder, capsys):
    assert validate(capsys, "conf/model/net.yaml", "quantization.accuracy_level=3") == (
        0,
        ["valid: 0 errors, 0 warnings"],
    )


def test_files_and_counts_are_checked(folder, capsys):
    (folder / "net.onnx").unlink()
    (folder / "images" / "b.png").unlink()
    code, lines = validate(capsys, "+model=net", "dataset.calibration_count=3", "quantization.mix=true")
    assert code == 2
    missing = "network.input_model: there is no such file"
    assert lines == [
        f"error: {folder}/conf/model/net.yaml:6:3: {missing} (got '{folder}/net.onnx')",
        f"error: {folder}/images/calib.txt: 3 samples are asked for, but the list holds 2; ask for at most 2",
        f"error: {folder}/images/calib.txt:3: there is no such file (got '{folder}/images/b.png')",
        "invalid: 3 errors, 0 warnings",
    ]


def test_wrong_settings_and_missing_files_together(folder, capsys):
    (folder / "net.onnx").unlink()
    code, lines = validate(capsys, "+model=net", "quantization.accuracy_level=9")
    assert code == 2
    assert [line.split(": ")[2] for line in lines[:-1]] == ["quantization.accuracy_level", "network.input_model"]


def test_warnings_leave_it_valid(folder, capsys):
    code, lines = validate(capsys, "+model=net", "quantization.calibration=ImprovedKL")
    assert code == 0
    assert lines == [
        (
            "warning: override 'quantization.calibration=ImprovedKL': quantization.calibration: does nothing without "
            "histogram_bins; set histogram_bins: 10240 for single-shot calibration"
        ),
        "valid: 0 errors, 1 warning",
    ]


def test_json_has_every_part(folder, capsys):
    code = main(["validate", "+model=net", "quantization.rnage=5", "--format", "json"])
    assert code == 2
    assert json.loads(capsys.readouterr().out) == [
        {
            "severity": "error",
            "file": None,
            "line": None,
            "column": None,
            "override": "quantization.rnage=5",
            "key": "quantization.rnage",
            "message": "unknown key",
            "value": 5,
            "suggestion": "did you mean 'range'?",
        }
    ]


def test_json_of_a_valid_target_is_an_empty_list(folder, capsys):
    assert main(["validate", "+model=net", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_several_targets_are_all_judged(folder, capsys):
    (folder / "bad.yaml").write_text("path: 3\n")
    code, lines = validate(capsys, "conf/model/net.yaml", "bad.yaml", "nope.yaml")
    assert code == 2
    assert any(f"{folder}/bad.yaml:1:1: path: should be a mapping of keys (got 3)" in line for line in lines)
    assert any("there is no such file (got 'nope.yaml')" in line for line in lines)


def test_an_unknown_plugin_is_named_with_where_it_is_looked_for(folder, capsys, monkeypatch):
    monkeypatch.delenv("CUSTOM_METRIC_PATH", raising=False)
    code, lines = validate(capsys, "+model=net", "metric.metric_cls=faces", "dataset.validation_set=calib.txt")
    assert code == 2
    assert "unknown metric 'faces'" in lines[0]
    assert f"{folder}/slimai_custom_metric/metric_plugin" in lines[0]


def test_a_plugin_beside_the_data_or_in_the_environments_folder_is_found(folder, capsys, monkeypatch):
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "faces.py").write_text("")
    words = ("+model=net", "metric.metric_cls=faces", "dataset.validation_set=calib.txt")
    monkeypatch.setenv("CUSTOM_METRIC_PATH", str(plugins))
    assert validate(capsys, *words)[0] == 0
    monkeypatch.delenv("CUSTOM_METRIC_PATH")
    (folder / "slimai_custom_metric").mkdir()
    plugins.rename(folder / "slimai_custom_metric" / "metric_plugin")
    assert validate(capsys, *words)[0] == 0


def test_a_near_miss_of_a_metric_is_suggested(folder, capsys):
    _, lines = validate(capsys, "+model=net", "metric.metric_cls=cosin", "dataset.validation_set=calib.txt")
    assert lines[0].endswith("unknown metric 'cosin' (got 'cosin'); did you mean 'cosine'?")


def test_a_plugin_that_is_not_there_is_not_taken_for_a_metric(folder, capsys):
    _, lines = validate(capsys, "+model=net", "metric.metric_cls=my_metric", "dataset.validation_set=calib.txt")
    assert "did you mean" not in lines[0]
    assert "a metric of your own is the file my_metric.py in one of: " in lines[0]


def test_a_near_miss_of_a_plugin_is_suggested(folder, capsys):
    plugins = folder / "slimai_custom_metric" / "metric_plugin"
    plugins.mkdir(parents=True)
    (plugins / "my_faces.py").write_text("")
    _, lines = validate(capsys, "+model=net", "metric.metric_cls=my_face", "dataset.validation_set=calib.txt")
    assert lines[0].endswith("unknown metric 'my_face' (got 'my_face'); did you mean 'my_faces'?")


def test_the_places_of_a_plugin_are_named_in_the_order_in_which_they_are_looked_at(folder, capsys, monkeypatch):
    monkeypatch.setenv("CUSTOM_METRIC_PATH", "/first:/second")
    (folder / "jobs").mkdir()
    (folder / "jobs" / "job.yaml").write_text((folder / "conf" / "model" / "net.yaml").read_text())
    _, lines = validate(capsys, "jobs/job.yaml", "metric.metric_cls=faces", "dataset.validation_set=calib.txt")
    line = next(line for line in lines if "unknown metric" in line)
    inside = "slimai_custom_metric/metric_plugin"
    assert line.endswith(f"in one of: {folder}/jobs/{inside}, {folder}/{inside}, /first, /second")


def test_an_output_folder_that_cannot_be_made(folder, capsys):
    code, lines = validate(capsys, "+model=net", "path.output_dir=net.onnx/out")
    assert code == 2
    assert f"path.output_dir: cannot be made: {folder}/net.onnx is a file" in lines[0]


def test_a_shadowed_file_is_reported(folder, capsys):
    (folder / "conf" / "target").mkdir()
    (folder / "conf" / "target" / "vision_dsp.yaml").write_text("name: mine\n")
    code, lines = validate(capsys, "+model=net")
    assert code == 0
    assert lines[0] == f"note: {folder}/conf/target/vision_dsp.yaml is used in place of the bundled vision_dsp.yaml"


def test_nothing_is_written(folder, capsys):
    before = sorted(folder.rglob("*"))
    validate(capsys, "+model=net", "a.b=1")
    assert sorted(folder.rglob("*")) == before


def test_help_has_an_example(capsys):
    assert main(["validate", "--help"]) == 0
    assert "slimai validate +model=yolo" in capsys.readouterr().out


def test_an_unknown_flag_ends_with_code_2(capsys):
    assert main(["validate", "+model=yolo", "--deap"]) == 2
    assert "--deap" in capsys.readouterr().err


def test_as_a_process_from_another_folder(tmp_path):
    command = [sys.executable, "-m", "slimai", "validate", "+model=yolo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "valid: 0 errors, 0 warnings\n", "")
    assert list(tmp_path.iterdir()) == []
