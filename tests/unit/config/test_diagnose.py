"""One row an error case: what the user wrote, and the one line that is said about it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from slimai.config.compose import compose_job, hydra_ready
from slimai.config.diagnose import judge
from slimai.config.placing import placed
from slimai.errors import InputError

PRESET = """\
# @package _global_
# yaml-language-server: $schema=x
path:
  output_dir: out
  image_dir: images
network:
  input_model: net.onnx
  class: Detection
dataset:
  calibration_set: calib.txt
  validation_set: val.txt
metric:
  metric_cls: voc_det_AP
  metric_input:
    annotations: xml
"""


@dataclass
class Expected:
    """`change` replaces a line of the preset (or is appended); overrides follow; `lines` is all that is said."""

    lines: tuple[str, ...]
    change: tuple[str, str] = ("", "")
    overrides: tuple[str, ...] = ()


FILE = "{conf}/model/job.yaml"
CASES = {
    "misspelt key": Expected(
        (FILE + ":4:3: path.outdir: unknown key (got 'out'); did you mean 'output_dir'?",),
        ("output_dir: out", "outdir: out"),
    ),
    "missing key": Expected(
        (FILE + ":3:1: path.output_dir: is required; Folder that the results are written to; made when absent.",),
        ("  output_dir: out\n", ""),
    ),
    "misspelt section": Expected(
        (
            FILE + ":9:1: datasets: unknown key (got {{'calibration_set': 'calib.txt', 'validation_set': 'val.txt'}}); "
            "did you mean 'dataset'?",
        ),
        ("dataset:", "datasets:"),
    ),
    "enum value": Expected(
        (
            FILE + ":8:3: network.class: Input should be 'Classification', 'Detection', 'Segmentation' or 'Other' "
            "(got 'detection'); did you mean 'Detection'?",
        ),
        ("class: Detection", "class: detection"),
    ),
    "metric name": Expected(
        (
            FILE
            + ":13:3: metric.metric_cls: unknown metric 'VOC_det_AP' (got 'VOC_det_AP'); did you mean 'voc_det_AP'?",
        ),
        ("metric_cls: voc_det_AP", "metric_cls: VOC_det_AP"),
    ),
    "option of the metric": Expected(
        (
            (
                "override 'metric.metric_input.treshold=0.5': metric.metric_input.treshold: unknown key (got 0.5); "
                "did you mean 'threshold'?"
            ),
        ),
        overrides=("metric.metric_input.treshold=0.5",),
    ),
    "input of another metric": Expected(
        (
            FILE + ":14:3: metric.metric_input: holds keys of another metric: annotations, center, yfirst; "
            "one of use_float, layout, range",
        ),
        ("    annotations: xml", "    annotations: xml\n    center: true\n    yfirst: true"),
        ("metric.metric_cls=psnr", "network.class=Other"),
    ),
    "base-60 range in a file": Expected(
        (
            FILE + ":17:3: quantization.range: A percentage is at most 100; an unquoted 40:50:1 is a base-60 number in "
            'YAML 1.1, quote it (got 147001); write "lo:hi:step", "lo:hi" or one number, in percent, quoted',
        ),
        ("    annotations: xml\n", "    annotations: xml\nquantization:\n  range: 40:50:1\n"),
    ),
    "base-60 range that is a legal number": Expected(
        (FILE + ":17:3: quantization.range: an unquoted 1:30 is a base-60 number in YAML 1.1, quote it (got 90)",),
        ("    annotations: xml\n", "    annotations: xml\nquantization:\n  range: 1:30 # percent\n"),
    ),
    "base-60 number elsewhere": Expected(
        (
            FILE + ":17:3: quantization.histogram_bins: Input should be less than or equal to 1048576; the unquoted "
            "500:10:10 is a base-60 number in YAML 1.1, quote it (got 1800610)",
        ),
        ("    annotations: xml\n", "    annotations: xml\nquantization:\n  histogram_bins: 500:10:10\n"),
    ),
    "base-60 size": Expected(
        (
            FILE + ":16:5: metric.metric_input.input_size: Input should be [width, height]; an unquoted 8:16 is a "
            'base-60 number in YAML 1.1, quote it (got 496); write [w, h] or "w:h"',
        ),
        ("    annotations: xml", "    annotations: xml\n    input_size: 8:16"),
    ),
    "item of a list": Expected(
        (
            FILE + ":17:23: quantization.accuracy_level.1: An accuracy level is an integer from 0 to 4 (got 7); "
            "a list searches over several: [1, 2, 3]",
        ),
        ("    annotations: xml\n", "    annotations: xml\nquantization:\n  accuracy_level: [0, 7]\n"),
    ),
    "override beats the file": Expected(
        (
            (
                "override 'path.output_dir=3': path.output_dir: The path should be a text (got 3); quote it when it "
                "looks like a number"
            ),
        ),
        overrides=("path.output_dir=3",),
    ),
    "added key": Expected(
        ("override '+path.outdir=x': path.outdir: unknown key (got 'x'); did you mean 'output_dir'?",),
        overrides=("+path.outdir=x",),
    ),
    "key of another section": Expected(
        (
            (
                "override 'quantization.metric_cls=x': quantization.metric_cls: unknown key (got 'x'); "
                "did you mean 'metric.metric_cls'?"
            ),
        ),
        overrides=("quantization.metric_cls=x",),
    ),
    "legacy spelling": Expected(
        ("override 'quantization.Mix=true': quantization.Mix: unknown key (got True); did you mean 'mix'?",),
        overrides=("quantization.Mix=true",),
    ),
    "section that is no mapping": Expected(
        ("override '++path=3': path: should be a mapping of keys (got 3); write its keys below it, indented",),
        overrides=("++path=3",),
    ),
    "number out of bounds": Expected(
        ("override 'target.acc_bits=8': target.acc_bits: Input should be greater than or equal to 16 (got 8)",),
        overrides=("target.acc_bits=8",),
    ),
    "truth value for a number": Expected(
        ("override 'target.acc_bits=true': target.acc_bits: Input should be a number, not a truth value (got True)",),
        overrides=("target.acc_bits=true",),
    ),
    "several mistakes in their order": Expected(
        (
            FILE + ":8:3: network.clas: unknown key (got 'Detection'); did you mean 'class'?",
            (
                "override 'quantization.range=0': quantization.range: Percentages should be above 0 and at most 100 "
                '(got 0); write "lo:hi:step", "lo:hi" or one number, in percent, quoted'
            ),
            (
                "override 'performance.dsp_frequency=-1': performance.dsp_frequency: Input should be greater than 0 "
                "(got -1)"
            ),
            (
                "override 'dataset.validation_set=null': dataset.validation_set: is required by metric_cls voc_det_AP; "
                "name the list to score on"
            ),
        ),
        ("class: Detection", "clas: Detection"),
        ("quantization.range=0", "performance.dsp_frequency=-1", "dataset.validation_set=null"),
    ),
}


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "model"
    folder.mkdir(parents=True)

    def write(change=("", "")):
        old, new = change
        assert old in PRESET
        (folder / "job.yaml").write_text(PRESET.replace(old, new, 1) if old else PRESET)

    return write


def said(*overrides):
    try:
        with hydra_ready():
            composed = compose_job(["+model=job", *overrides])
    except InputError as error:
        return [str(item) for item in error.diagnostics]
    return [str(item) for item in placed(judge(composed).diagnostics, composed)]


@pytest.mark.parametrize("name", CASES)
def test_the_message(name, job, tmp_path):
    case = CASES[name]
    job(case.change)
    shown = [line.format(conf=tmp_path / "conf") for line in case.lines]
    assert said(*case.overrides) == shown


def test_nothing_is_said_about_a_valid_job(job):
    job()
    assert said("quantization.range=96:99:1", "metric.replace_output=[a,b,c]") == []


COMPOSITION = {
    ("model=jbo",): "override 'model=jbo': there is no model 'jbo'; did you mean 'job'?",
    ("target=vision",): "override 'target=vision': there is no target 'vision'; did you mean 'vision_dsp'?",
    ("modle=job",): "override 'modle=job': unknown key or group 'modle'; did you mean 'model'?",
    ("quantization.accuracy_level=0,1",): (
        "override 'quantization.accuracy_level=0,1': quantization.accuracy_level: several values for one job; "
        "write [0,1] to try them inside one job, or add -m for one job each"
    ),
    ("x=[1;2]",): (
        "override 'x=[1;2]': the override does not parse: it holds a character that is not allowed outside quotes; "
        "quote the value twice, for the shell and for Hydra: key=\"'a;b c'\""
    ),
    ("~metric.metrc_cls",): (
        "override '~metric.metrc_cls': metric.metrc_cls: there is nothing to delete; remove the override"
    ),
    ("path.output_dir=${nope}",): (
        "path.output_dir: Interpolation key 'nope' not found; write a value, or correct the ${...} reference"
    ),
}


@pytest.mark.parametrize("overrides", COMPOSITION, ids=str)
def test_what_hydra_refuses(overrides, job):
    job()
    words = [word for word in overrides if word.startswith("model=")] or ["+model=job"]
    try:
        with hydra_ready():
            compose_job([*words, *(word for word in overrides if word not in words)])
        found = []
    except InputError as error:
        found = [str(item) for item in error.diagnostics]
    assert found == [COMPOSITION[overrides]]


def test_broken_yaml_is_named_with_its_place(job, tmp_path):
    job(("network:", "network: ["))
    [line] = said()
    assert line.startswith(f"{tmp_path}/conf/model/job.yaml:8:")
    assert "not valid YAML" in line


def test_a_key_given_twice_is_named_with_its_place(job, tmp_path):
    job(("  input_model: net.onnx", "  input_model: net.onnx\n  input_model: other.onnx"))
    [line] = said()
    assert line == (
        f"{tmp_path}/conf/model/job.yaml:8:3: not valid YAML: found duplicate key input_model; name each key once"
    )


def test_no_model_is_one_message(job):
    job()
    with hydra_ready():
        composed = compose_job([])
    [item] = judge(composed).diagnostics
    assert str(item).startswith("no model is chosen; add +model=NAME (one of ")
    assert "job" in str(item)
    assert "yolo" in str(item)


def test_root_causes_k_mistakes_are_k_messages(job):
    job(("  image_dir: images", "  imagedir: images"))
    found = said("target.acc_bits=8", "metric.output_debug=9", "quantization.mixx=true")
    assert [line.split(": ")[1] for line in found] == [
        "path.imagedir",
        "quantization.mixx",
        "metric.output_debug",
        "target.acc_bits",
    ]
