# ruff: noqa: E501
"""examples/custom_metric: the plug-in, its self-test in the vendor's form, and `slimai metric` on its blobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from slimai.app.commands.metric import main
from slimai.errors import InputError


@pytest.fixture
def data(repo_root, monkeypatch):
    folder = repo_root / "examples" / "custom_metric"
    monkeypatch.setenv("CUSTOM_METRIC_PATH", str(folder))
    monkeypatch.chdir(folder / "data")
    return folder / "data"


COMMON = ["--octrl", "output_control.octrl", "--imagelist", "tmp_val.txt", "--format", "json"]
BUILT_IN = "custom_pp=ssd,voc_labels=[face],data_offset=-1,iou_threshold=0.3,input_size=512:512"


def answer(capsys, *words):
    assert main([*COMMON, *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("blobs", ["faceboxes_ref", "faceboxes_92", "faceboxes_93"])
def test_the_plugin_equals_the_built_in_metric(data, capsys, blobs, threshold):
    own = answer(
        capsys, "--metric-cls", "faceboxes_map", "--metric-input", f"imagelist threshold={threshold}", "--blobs", blobs
    )
    built_in = answer(
        capsys, "--metric-cls", "voc_det_AP", "--metric-input", f"imagelist threshold={threshold},{BUILT_IN}",
        "--blobs", blobs,
    )  # fmt: skip
    assert own["value"] == pytest.approx(built_in["value"], abs=1e-12)
    assert 0.2 < own["score"] < 1
    assert own["images"] == built_in["images"] == 4
    assert set(own) == {"metric", "value", "score", "values", "images"}


def test_the_self_test_script(data, tmp_path):
    script = data.parent / "try_faceboxes_map.py"
    done = subprocess.run(
        [sys.executable, "-m", "slimai.metrics.vendor", str(script)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["Float", "float"],
        ["Fixed", "faceboxes_92.yaml"],
        ["Fixed", "faceboxes_93.yaml"],
    ]
    assert all(0.5 < float(line[2]) <= 1 for line in lines)
    written = next(tmp_path.glob("*/FixedPoint_Results.txt")).read_text().splitlines()
    assert written[0] == "# profile\tvalues"
    assert len(written) == 4


def test_the_data_are_what_the_script_makes(data, tmp_path, repo_root):
    script = (data.parent / "make_data.py").read_text()
    copy = tmp_path / "make_data.py"
    copy.write_text(script)
    subprocess.run([sys.executable, str(copy)], check=True)
    made = {path.relative_to(tmp_path / "data"): path.read_bytes() for path in (tmp_path / "data").rglob("*.*")}
    kept = {path.relative_to(data): path.read_bytes() for path in data.rglob("*.*")}
    assert made == kept


def test_count_and_cosine(data, capsys):
    words = ["--metric-cls", "cosine", "--blobs", "faceboxes_92", "--ref", "faceboxes_ref", "--count", "2"]
    found = answer(capsys, *words)
    assert found["images"] == 2
    assert 0.99 < found["score"] < 1
    assert main([*COMMON[:-2], *words]) == 0
    assert capsys.readouterr().out.startswith(
        f"cosine: value {found['value']:.6f}, score {found['score']:.6f}, 2 images\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric-cls", "cosine", "--blobs", "faceboxes_92"], "--ref: cosine compares with the float network; give the"),
        (["--metric-cls", "cosine", "--blobs", "nowhere"], "nowhere: no such folder of blobs"),
        (["--metric-cls", "cosine", "--blobs", "imagelist"], "imagelist/face_0_loc.blob: no such blob"),
        (["--metric-cls", "NoMetric", "--blobs", "faceboxes_92", "--count", "9"], "9 samples are asked for, but the list holds 4"),
        (["--metric-cls", "NoMetric", "--blobs", "faceboxes_92", "--replace-output", "[box]"], "not in output_control.octrl"),
        (["--metric-cls", "voc_det_AP", "--blobs", "faceboxes_92", "--metric-input", "imagelist centre=True"],
         "metric.metric_input.centre: unknown option; did you mean 'center'?"),
        (["--metric-cls", "NoMetric", "--blobs", "faceboxes_92", "--input-size", "512x512"], "--input-size: expected <width>"),
        (["--metric-cls", "NoMetric", "--blobs", "faceboxes_92", "--resize", "stretch"], "--resize: the size of the network"),
    ],
)  # fmt: skip
def test_mistakes(data, words, message):
    with pytest.raises(InputError) as caught:
        main([*COMMON, *words])
    assert message in str(caught.value)


def test_a_broken_blob_is_named(data, tmp_path):
    for file in (data / "faceboxes_92").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "face_1_conf.blob").write_bytes(b"1 2 3\n")
    with pytest.raises(InputError, match=r"face_1_conf.blob:1: expected 'coefficient W H C N dtype'"):
        main([*COMMON, "--metric-cls", "NoMetric", "--blobs", str(tmp_path)])


def test_replace_output_changes_the_order(data, capsys):
    words = [
        "--metric-cls",
        "voc_det_AP",
        "--metric-input",
        f"imagelist threshold=0.1,{BUILT_IN}",
        "--blobs",
        "faceboxes_ref",
    ]
    with pytest.raises(InputError, match=r"output 'conf': boxes must be \[1, 36, 4\]"):
        main([*COMMON, *words, "--replace-output", "[conf loc]"])
