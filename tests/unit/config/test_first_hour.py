"""What a user meets in the first hour: presets as editors leave them, advice that works, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slimai
from slimai.app import cli
from slimai.config.target import load_target
from slimai.config.yaml_source import header_package

SECTIONS = """
path:
  image_dir: .
  output_dir: out
network:
  name: net
  input_model: net.onnx
  class: Other
  input_data_layout: NCHW
  channel_order: RGB
  mean: 0
  stddev: 1
dataset:
  calibration_set: calib.txt
"""
HEADER = "# @package _global_\n"
MODELINE = "# yaml-language-server: $schema=../../schemas/slimai.schema.json\n"


@pytest.fixture
def preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/model").mkdir(parents=True)

    def write(text, name="net"):
        file = tmp_path / f"conf/model/{name}.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize(
    "head",
    [
        "",
        HEADER,
        "\ufeff" + HEADER,
        MODELINE + HEADER,
        "# 我的网络\n" + HEADER + MODELINE,
        "\n#  mine\n\n##  @package _global_\n",
        "# @author somebody or other\n" + HEADER,
    ],
)
def test_a_preset_is_one_whatever_comment_comes_first(preset, head):
    file = preset(head + SECTIONS)
    by_name = load_target(["+model=net"]).values
    assert by_name["network"]["name"] == "net"
    assert "model" not in by_name
    assert load_target([str(file)]).values == by_name


@given(st.lists(st.sampled_from(["", "#", "# text", "  # @else x", MODELINE.strip()]), max_size=6), st.booleans())
def test_the_header_is_found_among_comments_and_not_behind_keys(lines, behind):
    text = "\n".join([*lines, *(["key: 1"] if behind else []), HEADER])
    assert header_package(text) == (None if behind else "_global_")


def test_a_preset_that_builds_on_another_reads_the_same_as_a_file(preset):
    preset(HEADER + SECTIONS, "base")
    child = preset(HEADER + "defaults: [base, _self_]\nquantization: {accuracy_level: 1}\n", "child")
    by_name = load_target(["+model=child"]).values
    assert by_name["quantization"]["accuracy_level"] == 1
    assert load_target([str(child)]).values == by_name


def test_the_file_is_named_whose_base_is_not_there(preset):
    child = preset(HEADER + "defaults: [bass, _self_]\n", "child")
    preset(HEADER + SECTIONS, "base")
    with pytest.raises(slimai.InputError) as caught:
        load_target([str(child)])
    assert "slimai_file" not in str(caught.value)
    assert str(caught.value) == f"{child}: there is no model 'bass'; did you mean 'base'?"


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        (
            "quantization.accuracy_level=range(0,3)",
            "write [0,1,2] to try them inside one job, or add -m for one job each",
        ),
        ("quantization.accuracy_level=0,3", "write [0,3] to try them inside one job, or add -m for one job each"),
        ("network.mean=1,2", "network.mean: several values for one job; add -m for one job each"),
        ("quantization.accuracy_level=[range(0,3)]", "a list takes plain values; write [0,1,2]"),
    ],
)
def test_the_advice_for_several_values_can_be_followed(capsys, word, advice):
    assert cli.main(["+model=yolo", word]) == 2
    said = capsys.readouterr().err
    assert advice in said
    if "write [" in said:
        cure = said.partition("write ")[2].partition("]")[0] + "]"
        assert cli.main(["validate", "+model=yolo", f"quantization.accuracy_level={cure}"]) == 0


NOTHING = "there is no value to sweep over; a pattern stands for the names of a group's files"
INTERVAL = "an interval has no list of values; write the values: key=1,2 or range(1,5)"


@pytest.mark.parametrize("sweeper", ["basic", "smart_search"])
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("quantization.accuracy_level=glob(*)", NOTHING),
        ("target=glob(zz*)", NOTHING),
        ("quantization.range=range(5,5)", "there is no value to sweep over"),
        ("dataset.calibration_count=interval(1,4)", INTERVAL),
    ],
)
def test_a_sweep_over_nothing_or_over_an_interval_is_refused(capsys, sweeper, word, said):
    assert cli.main(["-m", f"hydra/sweeper={sweeper}", "+model=yolo", word]) == 2
    assert capsys.readouterr().err == f"override '{word}': {said}\n"


@pytest.mark.parametrize("word", ["quantization.accuracy_level=glob(*)", "quantization.accuracy_level=range(5,5)"])
def test_one_job_with_a_sweep_over_nothing_is_refused(capsys, word):
    assert cli.main(["validate", "+model=yolo", word]) == 2
    assert f"'{word}': quantization.accuracy_level: several values for one job; add -m for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "extra"),
    [("hydra/launcher=joblib", "joblib"), ("hydra/launcher=ray", "ray-launcher"), ("hydra/sweeper=optuna", "optuna")],
)
def test_a_launcher_that_is_not_installed_names_its_extra(capsys, monkeypatch, word, extra):
    from hydra.core.plugins import Plugins

    group, _, name = word.partition("=")
    if any(name in str(plugin).lower() for plugin in Plugins.instance().discover()):
        pytest.skip(f"{group} {name} is installed")
    assert cli.main(["-m", "+model=yolo", word]) == 2
    assert f"pip install 'slimai[{extra}]'" in capsys.readouterr().err


def test_flags_that_only_show_something_say_what_they_need(capsys):
    assert cli.main(["-m", "+model=yolo", "--cfg", "job"]) == 2
    assert capsys.readouterr().err == "--cfg and --multirun exclude each other; leave -m out, with one value a key\n"
    assert cli.main(["+model=yolo", "-h"]) == 0
    assert capsys.readouterr().out.startswith("slimai: tune post-training quantization")


def test_configurations_load_from_several_threads():
    levels = [index % 5 for index in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda level: slimai.load_config("+model=yolo", f"quantization.accuracy_level={level}"), levels)
        )
    assert [config.quantization.accuracy_level for config in found] == [(level,) for level in levels]


def test_a_misspelt_metric_does_not_hide_that_its_list_is_missing():
    words = ["+model=yolo", "metric.metric_cls=VOC_det_AP", "~dataset.validation_set", "~dataset.validation_count"]
    assert [item.message for item in slimai.validate(*words)] == [
        "unknown metric 'VOC_det_AP'",
        "is required by metric_cls voc_det_AP",
    ]


def test_heads_and_pictures_that_do_not_fit_are_named_together(tmp_path):
    from PIL import Image

    Image.new("RGB", (100, 90)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\n")
    places = [f"path.image_dir={tmp_path}", *(f"dataset.{name}_set=list.txt" for name in ("calibration", "validation"))]
    counts = [f"dataset.{name}_count=1" for name in ("calibration", "validation")]
    heads = "metric.metric_input.anchors=[[[20,38],[27,42],[32,52]]]"
    found = slimai.validate("+model=yolo", *places, *counts, heads, deep=True)
    said = "\n".join(item.message for item in found)
    assert "1 brackets of anchors for 2 outputs" in said
    assert "the image is 100x90, the network's input 128x128" in said
