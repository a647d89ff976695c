"""``slimai explain``: for every key of every preset the place that sets it, checked against the text there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from slimai.app import cli
from slimai.config.dirs import bundled_conf, preset_names
from slimai.config.overrides import quoted
from slimai.schema.root import SlimaiConfig


def explained(capsys, *words):
    assert cli.main(["explain", *words, "--format", "json"]) == 0
    return {row["key"]: row for row in json.loads(capsys.readouterr().out)}


def written(file):
    """Return dotted key -> value of the keys of a YAML file, by plain YAML, below a target's own section."""

    def walk(values, above):
        for name, value in values.items():
            key = f"{above}{name}"
            if isinstance(value, dict) and value:
                yield from walk(value, f"{key}.")
            else:
                yield key, value

    section = "target." if Path(file).parent.name == "target" else ""
    values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return dict(walk({name: value for name, value in values.items() if name not in ("defaults", "hydra")}, section))


@pytest.mark.parametrize("name", preset_names())
def test_every_key_of_a_preset_is_placed_where_it_stands(capsys, name):
    rows = explained(capsys, f"+model={name}")
    preset = bundled_conf() / f"model/{name}.yaml"
    target = bundled_conf() / f"target/{rows['target.name']['value']}.yaml"
    for file in (preset, target):
        lines = file.read_text(encoding="utf-8").splitlines()
        for key, value in written(file).items():
            row = next(row for known, row in rows.items() if f"{known}.".startswith(f"{key}."))
            place = row["set_by"]
            assert place["kind"] == "file"
            assert Path(place["file"]) == file
            assert lines[place["line"] - 1][place["column"] - 1 :].startswith(key.rpartition(".")[2] + ":")
            assert all(item["set_by"] == {"kind": "default"} for item in row["over"]), (key, value)
    set_in_files = tuple(f"{key}." for key in (*written(preset), *written(target)))
    assert all(
        row["set_by"] == {"kind": "default"} for key, row in rows.items() if not f"{key}.".startswith(set_in_files)
    )
    assert [key for key, row in rows.items() if not row["description"]] == []


DERIVED = {"network.type": None, "path.input_dir": "."}  # defaults that become something else by what others say


def word(value):
    """Return a value in the grammar of overrides."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(word, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{word(item)}" for name, item in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("name", preset_names())
def test_an_override_of_any_key_wins_over_file_and_default(capsys, name):
    before = explained(capsys, f"+model={name}")
    overrides = {key: f"{key}={word(row['value'])}" for key, row in before.items()}
    cli.main(["explain", f"+model={name}", *overrides.values(), "--format", "json"])  # some may not be given together
    after = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(after) >= set(before)
    for key, row in before.items():
        assert after[key]["set_by"] == {"kind": "override", "override": overrides[key]}, key
        lost = after[key]["over"]
        if row["set_by"] == {"kind": "default"}:
            assert [item["set_by"] for item in lost] == [{"kind": "default"}], key
            assert lost[0]["value"] == DERIVED.get(key, row["value"]), key
        else:
            assert lost[0]["set_by"] == row["set_by"], key
            assert lost[1:] == row["over"], key


def test_overrides_win_and_name_what_they_overrode(capsys):
    preset = bundled_conf() / "model/yolo.yaml"
    words = [
        "+model=yolo",
        "quantization.range=97",
        "target=npu",
        "target.acc_bits=40",
        "metric.metric_input.threshold=0.1",
    ]
    rows = explained(capsys, *words)
    assert rows["quantization.range"]["set_by"] == {"kind": "override", "override": "quantization.range=97"}
    line = next(n for n, text in enumerate(preset.read_text().splitlines(), 1) if text.startswith("  range:"))
    assert rows["quantization.range"]["over"] == [
        {"value": "96:100:2", "set_by": {"kind": "file", "file": str(preset), "line": line, "column": 3}},
        {"value": "100", "set_by": {"kind": "default"}},
    ]
    assert rows["target.acc_bits"]["set_by"] == {"kind": "override", "override": "target.acc_bits=40"}
    assert [Path(item["set_by"].get("file", "")).name for item in rows["target.acc_bits"]["over"]] == ["npu.yaml", ""]
    assert rows["metric.metric_input.threshold"]["over"][0]["value"] == 0.05
    assert Path(rows["target.per_channel_ops"]["set_by"]["file"]).name == "npu.yaml"


def test_a_preset_on_another_and_a_removed_key(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/model").mkdir(parents=True)
    child = tmp_path / "conf/model/child.yaml"
    child.write_text(
        "# @package _global_\ndefaults: [yolo, _self_]\nquantization:\n  range: 99\n  calibration: ImprovedKL\n"
    )
    rows = explained(capsys, "+model=child", "~quantization.calibration")
    places = [rows["quantization.range"]["set_by"], *(item["set_by"] for item in rows["quantization.range"]["over"])]
    assert [(Path(item.get("file", "")).name, item.get("line")) for item in places[:2]] == [
        ("child.yaml", 4),
        ("yolo.yaml", places[1]["line"]),
    ]
    removed = rows["quantization.calibration"]
    assert removed["set_by"] == {"kind": "override", "override": "~quantization.calibration"}
    assert removed["over"][0]["value"] == "ImprovedKL"
    assert removed["value"] == ["ImprovedMSE"]


def test_only_what_is_asked_for(capsys):
    rows = explained(capsys, "+model=yolo", "--key", "quantization", "--changed", "quantization.mix=false")
    assert set(rows) == {"quantization.accuracy_level", "quantization.range"}
    assert cli.main(["explain", "+model=yolo", "--key", "range"]) == 2
    assert capsys.readouterr().err == "--key: there is no key 'range' here; did you mean 'quantization.range'?\n"


def test_every_key_of_the_schema_is_explained(capsys):
    rows = explained(capsys, "+model=yolo")
    for name, info in SlimaiConfig.model_fields.items():
        if name != "config_file":
            assert any(key.split(".")[0] == (info.alias or name) for key in rows), name


def test_of_a_wrong_configuration_places_and_mistakes_are_shown(capsys):
    assert cli.main(["explain", "+model=yolo", "quantization.rnge=97", "--key", "quantization.range"]) == 2
    said = capsys.readouterr()
    assert "yolo.yaml:" in said.out
    assert "override 'quantization.rnge=97': quantization.rnge: unknown key" in said.err


def test_the_text_form(capsys):
    assert cli.main(["explain", "+model=yolo", "quantization.range=97", "--key", "quantization.range"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["quantization.range = 97", "    set by override 'quantization.range=97'"]
    assert lines[2].startswith("    over 96:100:2, ")
    assert lines[3] == "    over 100, default"
