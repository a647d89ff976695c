"""``slimai convert`` and ``slimai export`` as a user types them: exit codes, output, files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from slimai.app.cli import main
from slimai.config.target import load_target

ROOT = Path(__file__).resolve().parents[2]
GOOD = """[path]
output_dir = out
image_dir = img
[network]
input_model = net.onnx
class = Classification
[dataset]
calibration_set = calib.txt
validation_set = val.txt
[quantization]
accuracy_level = 1,2
range = 96:99:1  # four
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.cfg").write_text(GOOD, encoding="utf-8")
    return tmp_path


def test_a_converted_cfg_is_a_preset_that_hydra_finds(capsys):
    Path("schemas").mkdir()
    Path("schemas/slimai.schema.json").write_text("{}")
    assert main(["convert", "net.cfg"]) == 0
    assert capsys.readouterr().out == "net.cfg: became conf/model/net.yaml (0 errors, 0 warnings)\n"
    lines = Path("conf/model/net.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == [
        "# @package _global_",
        "# yaml-language-server: $schema=../../schemas/slimai.schema.json",
        "# Converted by `slimai convert` from net.cfg.",
    ]
    assert '  range: "96:99:1"  # four' in lines
    Path("schemas/slimai.schema.json").unlink()  # an editor gets the schema that ships with slimai
    assert main(["convert", "net.cfg"]) == 0
    capsys.readouterr()
    again = Path("conf/model/net.yaml").read_text(encoding="utf-8").splitlines()
    place = again[1].removeprefix("# yaml-language-server: $schema=file://")
    assert Path(place).is_file()
    assert main(["export", "+model=net", "-o", "-"]) == 0
    text = capsys.readouterr().out
    assert "[quantization]\naccuracy_level = 1,2\nrange = 96:99\n" in text


def test_check_writes_nothing(capsys, here):
    assert main(["convert", "net.cfg", "--check"]) == 0
    assert capsys.readouterr().out == "net.cfg: would become conf/model/net.yaml (0 errors, 0 warnings)\n"
    assert sorted(path.name for path in here.iterdir()) == ["net.cfg"]


def test_a_wrong_cfg_is_not_written_and_the_others_are(capsys):
    Path("cfgs").mkdir()
    Path("cfgs/good.cfg").write_text(GOOD, encoding="utf-8")
    Path("cfgs/bad.cfg").write_text(GOOD.replace("Classification", "Clasification"), encoding="utf-8")
    Path("cfgs/binary.cfg").write_bytes(b"\0\xff")
    assert main(["convert", "cfgs", "-o", "yaml"]) == 2
    output = capsys.readouterr().out
    assert "error: cfgs/bad.cfg:6:9: network.class: Input should be 'Classification', " in output
    assert "error: cfgs/binary.cfg: is not a text file; save it as UTF-8 (GBK is read too)" in output
    rows = [line.split() for line in output.splitlines() if line.startswith("cfgs/")]
    assert rows == [
        ["cfgs/bad.cfg", "1", "0", "not", "converted"],
        ["cfgs/binary.cfg", "1", "0", "not", "converted"],
        ["cfgs/good.cfg", "0", "0", "good.yaml"],
    ]
    assert output.endswith("1 of 3 files converted\n")
    assert [path.name for path in Path("yaml").iterdir()] == ["good.yaml"]


def test_all_examples_at_once(capsys):
    shutil.copytree(ROOT / "legacy_cfg", "legacy_cfg")
    assert main(["convert", "legacy_cfg", "--check"]) == 0
    assert capsys.readouterr().out.endswith("15 of 15 files can be converted\n")


def test_a_file_of_somebody_else_is_kept(capsys):
    Path("net.yaml").write_text("- nodes: [a]\n", encoding="utf-8")
    assert main(["convert", "net.cfg", "-o", "net.yaml"]) == 2
    assert (
        "error: net.yaml: is there already and was not written by slimai convert; "
        "give another name with -o, or --force to replace it\n"
    ) in capsys.readouterr().out
    assert Path("net.yaml").read_text(encoding="utf-8") == "- nodes: [a]\n"
    assert main(["convert", "net.cfg", "-o", "net.yaml", "--force"]) == 0
    assert main(["convert", "net.cfg", "-o", "net.yaml"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.cfg"], "error: none.cfg: cannot read the cfg file: No such file or directory"),
        (["empty"], "empty: there is no .cfg file in this folder"),
        (["net.cfg", "a/net.cfg"], "net.cfg and a/net.cfg would both become this file"),
        (["net.cfg", "a/net.cfg", "-o", "x.yaml"], "x.yaml: 2 files cannot become one; give a folder with -o"),
        (["net.cfg", "-o", "net.cfg"], "net.cfg: is neither a folder nor a .yaml file"),
    ],
)
def test_wrong_words(words, message, capsys):
    Path("empty").mkdir()
    Path("a").mkdir()
    shutil.copy("net.cfg", "a/net.cfg")
    assert main(["convert", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert not Path("conf").exists()


@pytest.mark.parametrize("kept", ["lost", "found", "named"])
def test_a_plugin_beside_the_cfg_is_not_beside_the_preset(kept, capsys, monkeypatch):
    Path("far").mkdir()
    text = Path("net.cfg").read_text(encoding="utf-8")
    Path("far/net.cfg").write_text(text + "\n[metric]\nmetric_cls = my_metric\nmetric_input = x\n", encoding="utf-8")
    plugins = Path("far/slimai_custom_metric/metric_plugin")
    plugins.mkdir(parents=True)
    (plugins / "my_metric.py").write_text("")
    if kept == "found":
        shutil.copytree("far/slimai_custom_metric", "slimai_custom_metric")
    if kept == "named":
        monkeypatch.setenv("CUSTOM_METRIC_PATH", str(plugins))
    main(["convert", "far/net.cfg", "--check"])
    out = capsys.readouterr().out
    told = f"the plug-in {plugins}/my_metric.py is not found from the preset conf/model/net.yaml; copy "
    assert (told in out) == (kept == "lost")


@pytest.mark.parametrize("word", ["convert", "export"])
def test_help_has_an_example(word, capsys):
    assert main([word, "--help"]) == 0
    assert f"slimai {word} " in capsys.readouterr().out.split("examples:")[1]


def run_folder(best, **more) -> None:
    Path("out").mkdir(exist_ok=True)
    Path("out/run.json").write_text(json.dumps({"best": best, **more}), encoding="utf-8")


def test_a_run_gives_its_best_to_the_cfg(capsys):
    assert main(["convert", "net.cfg"]) == 0
    run_folder({"profile": "net_98.yaml", "accuracy_level": 2, "range": 98.0, "calibration": None})
    assert main(["export", "+model=net", "-o", "npu/net.cfg", "--from", "out"]) == 0
    assert capsys.readouterr().out.endswith("wrote npu/net.cfg\n")
    text = Path("npu/net.cfg").read_text(encoding="utf-8")
    assert "[quantization]\naccuracy_level = 2\nrange = 98:98\n" in text
    assert "output_dir = ../out\n" in text


def test_what_a_bound_has_delivered_goes_to_the_cfg(capsys):
    assert main(["convert", "net.cfg"]) == 0
    best = {"profile": "net_98.yaml", "accuracy_level": 4, "range": 98.0, "calibration": None}
    delivered = {"profile": "net_96.5.yaml", "accuracy_level": 1, "range": 96.5, "calibration": None}
    run_folder(best, delivered=delivered, delivered_note="the cheapest that keeps max_drop 0.01")
    assert main(["export", "+model=net", "-o", "net.cfg", "--force", "--from", "out"]) == 0
    assert "from out: net_96.5.yaml (the cheapest that keeps max_drop 0.01)\n" in capsys.readouterr().out
    assert "[quantization]\naccuracy_level = 1\nrange = 96.5:96.5\n" in Path("net.cfg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("best", "message"),
    [
        (None, "out/run.json: has no best candidate; let the run score at least one"),
        ({"profile": "x_98.yaml", "accuracy_level": 2, "range": 98.0}, ("out/run.json: is a run of another network "
         "than 'net' (got 'x_98.yaml'); give its own run")),
        ({"profile": "net_98.yaml"}, "out/run.json: is not the result of a run; give the output folder of a run"),
        ([1], "out/run.json: is not the result of a run; give the output folder of a run"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be_used_is_named(best, message, capsys):
    assert main(["convert", "net.cfg"]) == 0
    run_folder(best)
    assert main(["export", "+model=net", "--from", "out", "-o", "x.cfg"]) == 2
    assert message in capsys.readouterr().err
    assert main(["export", "+model=net", "--from", "nowhere", "-o", "x.cfg"]) == 2
    assert "nowhere/run.json: cannot be read: No such file or directory" in capsys.readouterr().err
    assert not Path("x.cfg").exists()


def test_export_keeps_a_cfg_that_it_did_not_write(capsys):
    assert main(["convert", "net.cfg"]) == 0
    assert main(["export", "+model=net"]) == 2
    assert "net.cfg: is there already and was not written by slimai export" in capsys.readouterr().err
    assert Path("net.cfg").read_text(encoding="utf-8") == GOOD
    assert main(["export", "+model=net", "--force"]) == 0
    assert main(["export", "+model=net"]) == 0


def test_a_wrong_configuration_is_not_exported(capsys):
    assert main(["convert", "net.cfg"]) == 0
    assert main(["export", "+model=net", "quantization.accuracy_level=7"]) == 2
    assert "override 'quantization.accuracy_level=7': quantization.accuracy_level" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["${oc.env:HOME}/x", r"\${oc.env:HOME}/x", "$(id)/x", "???"])
def test_nothing_in_a_cfg_is_evaluated_on_any_way(text, capsys, here):
    Path("net.cfg").write_text(GOOD.replace("output_dir = out", f"output_dir = {text}"), encoding="utf-8")
    assert main(["convert", "net.cfg"]) == 0
    for target in ("net.cfg", "+model=net"):
        assert load_target([target]).values["path"]["output_dir"] in {text, str(here / text)}
