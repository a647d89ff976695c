"""``slimai models`` and the advice of the error that names no model: what can run here comes first."""

from __future__ import annotations

import json

import pytest

from slimai.app import cli
from slimai.config.dirs import preset_names
from slimai.config.presets import presets

SHIPPED = {"yolo", "mobilenet_digits", "unet_digits"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLIMAI_SHARED", raising=False)
    (tmp_path / "conf/model").mkdir(parents=True)
    return tmp_path


def test_what_can_run_is_listed_and_the_rest_counted(capsys):
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    assert {line.split()[0] for line in said.splitlines()[:3]} == SHIPPED
    assert f"{len(preset_names()) - 3} more need something that is not here" in said


def test_all_presets_say_what_they_need(capsys, elsewhere):
    sections = "path: {image_dir: ., output_dir: out}\nnetwork: {input_model: no.onnx}\n"
    (elsewhere / "conf/model/mine.yaml").write_text(f"# Mine. More.\n{sections}")
    assert cli.main(["models", "--all", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(preset_names())
    assert {name for name, row in rows.items() if not row["needs"]} == SHIPPED
    assert rows["resnet20_cifar10"]["needs"] == "a folder named by SLIMAI_SHARED"
    assert rows["mine"]["about"] == "Mine."
    assert "there is no such file" in rows["mine"]["needs"] or "is required" in rows["mine"]["needs"]


def test_a_folder_that_is_there_is_not_lacking(elsewhere, monkeypatch):
    monkeypatch.setenv("SLIMAI_SHARED", str(elsewhere))
    (elsewhere / "data").mkdir()
    assert {item.name for item in presets() if not item.lacking} == set(preset_names())


def test_the_error_that_names_no_model_offers_what_can_run(capsys):
    assert cli.main(["validate"]) == 2
    expected = f"one of {', '.join(sorted(SHIPPED))}; all: slimai models --all"
    assert f"no model is chosen; add +model=NAME ({expected})" in capsys.readouterr().out
