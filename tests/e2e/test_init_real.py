"""From a real network and a folder of pictures to a finished tuned run: two commands, and no edit but anchors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from slimai.app import cli

pytestmark = [pytest.mark.slow, pytest.mark.shared]
PICTURES = 40
FEW = ("dataset.validation_count=8", "dataset.calibration_count=4", "quantization.accuracy_level=1", "--quiet")
STORED = ("dataset.validation_count=8", "--quiet")  # it is quantized: nothing to calibrate, no level to choose
PLAIN = ("quantization.weight_rounding=nearest",)

# network, its pictures, labels, and how those are asked for: what the preset must say, the least float score of 8
CASES = {
    "yolox_nano_416": ("coco_train128/images", "coco_train128/annotations/instances_all128.json", "yolox", 0.1),
    "ultraface_slim_320": ("face/images", "face/annotations", "facebox", 0.5),
    "resnet20_cifar10": ("cifar10/images", "cifar10/val.txt", None, 0.5),
    "portrait_prisma_nchw": ("coco_train128/images", "coco_train128/masks_person", None, 0.4),
    "yolo_fastest_1.1_320": ("coco_train128/images", "coco_train128/annotations/instances_all128.json", "yolo", 0.02),
}
METRICS = {"yolox_nano_416": "coco_det_AP", "ultraface_slim_320": "voc_det_AP", "resnet20_cifar10": "top1",
           "portrait_prisma_nchw": "SegStats", "yolo_fastest_1.1_320": "coco_det_AP"}  # fmt: skip
OWN_ANCHORS = [[[115, 73], [119, 199], [242, 238]], [[12, 18], [37, 49], [52, 132]]]  # of Yolo-Fastest 1.1


def linked(source: Path, folder: Path, names: set[str]) -> None:
    """Make a folder of links to the named pictures: those that are labelled, and few of them."""
    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.stem in names:
            (folder / path.name).symlink_to(path)


def labelled_stems(labels: Path) -> set[str]:
    if labels.is_dir():
        stems = sorted(path.stem for path in labels.iterdir())
    elif labels.suffix == ".json":
        stems = sorted(Path(entry["file_name"]).stem for entry in json.loads(labels.read_text())["images"])
    else:
        stems = sorted(Path(line.split()[0]).stem for line in labels.read_text().splitlines()[1:])
    return set(stems[:PICTURES])


def init_and_run(capsys, name, *words, run=(*FEW, *PLAIN)):
    assert cli.main(["init", *map(str, words), "--name", name]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == f"next: slimai +model={name}"
    assert cli.main([f"+model={name}", *run]) == 0
    return said, json.loads(Path(f"slimai_output/{name}/run.json").read_text())


@pytest.mark.parametrize("network", CASES)
def test_two_commands(network, shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pictures, labels, head, least = CASES[network]
    labels = shared_data / "datasets" / labels
    linked(shared_data / "datasets" / pictures, tmp_path / "pictures", labelled_stems(labels))
    model = shared_data / "models/onnx" / f"{network}.onnx"
    said, run = init_and_run(capsys, "mine", model, "--images", "pictures", "--labels", labels)
    metric = yaml.safe_load(Path("conf/model/mine.yaml").read_text())["metric"]
    assert metric["metric_cls"] == METRICS[network]
    assert metric["metric_input"].get("custom_pp") == head if head else "custom_pp" not in str(metric)
    assert run["float"]["score"] >= least
    edits = [line for line in said.splitlines() if line.startswith("edit: ")]
    assert len(edits) == (head == "yolo")
    if head == "yolo":  # estimated from a few pictures: of the right size, by the factor 1.6 that tells them apart
        found = np.array(metric["metric_input"]["anchors"], float)
        assert np.abs(np.log(found / np.array(OWN_ANCHORS)))[0].max() < np.log(1.6)
        network = yaml.safe_load(Path("conf/model/mine.yaml").read_text())["network"]
        compared = next(line for line in said.splitlines() if "network.resize" in line)
        assert network["channel_order"] == "RGB"
        assert network["resize"] == "stretch" or compared.startswith("unsure")  # as darknet feeds it
        assert " on 12" not in compared  # its rivals are scored on the same pictures


def test_keyword_spotting_of_integer_arrays(shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = shared_data / "datasets/kws"
    arrays, numbers = (np.load(source / name, allow_pickle=False) for name in ("mfcc_int8_49x10.npy", "labels.npy"))
    (tmp_path / "arrays").mkdir()
    for index, values in enumerate(arrays[:80]):
        np.save(tmp_path / "arrays" / f"{index:03d}.npy", values)
    (tmp_path / "words.txt").write_text("".join(f"{number}\n" for number in numbers[:80]))
    words = ("--images", "arrays", "--labels", "words.txt")
    _, run = init_and_run(capsys, "mine", shared_data / "models/onnx/kws_dscnn.onnx", *words)
    assert run["float"]["score"] >= 0.75  # 0.25 with the integers as they are
    _, run = init_and_run(capsys, "twin", shared_data / "models/tflite/kws_ref_model_int8.tflite", *words, run=STORED)
    network = yaml.safe_load(Path("conf/model/twin.yaml").read_text())["network"]
    assert (network["mean"], network["stddev"]) == (83, pytest.approx(1 / 0.5847029, rel=1e-6))
    assert os.path.isfile("conf/model/mine.yaml")  # noqa: PTH113 - both presets stand
