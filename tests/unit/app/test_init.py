"""``slimai init`` on the networks that ship: what it writes runs, and wrong input leaves nothing behind."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import slimai
from slimai.app import cli
from slimai.config.dirs import examples_dir

MODELS = examples_dir() / "models"
CLASSIFIER = MODELS / "mobilenet_digits.onnx"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def digits(tmp_path):
    """Return a folder of 40 pictures of digits, and the class of each by its name."""
    source = examples_dir() / "digits_cls"
    rows = [line.split() for line in (source / "val.txt").read_text().splitlines()[1:41]]
    (tmp_path / "pictures").mkdir()
    for name, _ in rows:
        shutil.copy(source / name, tmp_path / "pictures" / Path(name).name)
    return tmp_path / "pictures", {Path(name).name: label for name, label in rows}


def init(capsys, *words):
    code = cli.main(["init", *map(str, words)])
    caught = capsys.readouterr()
    return code, caught.out, caught.err


def preset(name):
    return yaml.safe_load(Path(f"conf/model/{name}.yaml").read_text())


def written():
    return sorted(
        path.as_posix() for path in Path().rglob("*") if path.is_file() and path.parts[0] in ("conf", "lists")
    )


def errors(name):
    return [item for item in slimai.validate(f"+model={name}", deep=True) if item.severity == "error"]


def label_file(place, labels):
    place.write_text("".join(f"{name} {label}\n" for name, label in labels.items()))
    return place


def test_a_classifier_with_lines_of_names_and_labels(capsys, digits, tmp_path):
    labels = digits[1]
    code, out, err = init(
        capsys, CLASSIFIER, "--images", "pictures", "--labels", label_file(tmp_path / "l.txt", labels), "--name", "mine"
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "next: slimai +model=mine"
    assert errors("mine") == []
    values = preset("mine")
    assert values["metric"]["metric_cls"] == "top1"
    assert values["network"]["class"] == "Classification"
    assert values["quantization"]["accuracy_level"] == [1, 3]
    assert values["dataset"]["calibration_set"] == "../lists/mine/calib.txt"  # two relative folders: relative
    calibration, validation = (Path(f"lists/mine/{name}.txt").read_text().splitlines() for name in ("calib", "val"))
    assert (calibration[0], validation[0]) == ("8", "32")  # a fifth; the rest
    assert sorted(line.split()[0] for line in (*calibration[1:], *validation[1:])) == sorted(labels)
    assert all(labels[line.split()[0]] == line.split()[1] for line in validation[1:])


def test_lists_and_preset_are_the_same_again(capsys, digits, tmp_path):
    labels = label_file(tmp_path / "l.txt", digits[1])
    words = (CLASSIFIER, "--images", "pictures", "--labels", labels, "--force")
    init(capsys, *words)
    first = [Path(name).read_bytes() for name in written()]
    init(capsys, *words)
    assert [Path(name).read_bytes() for name in written()] == first


def test_forms_of_class_labels_say_the_same(capsys, digits, tmp_path):
    labels = digits[1]
    ordered = [labels[name] for name in sorted(labels)]
    forms = {"a.txt": "\n".join(ordered), "b.txt": "\n".join(["40", *ordered])}
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "file", "label"), *((7, name, label) for name, label in labels.items())])
    np.save(tmp_path / "d.npy", np.array(ordered, np.int64))
    label_file(tmp_path / "e.txt", labels)
    lists = set()
    for name in (*forms, "c.csv", "d.npy", "e.txt"):
        assert init(capsys, CLASSIFIER, "--images", "pictures", "--labels", name, "--force")[0] == 0
        lists.add(Path("lists/mobilenet_digits/val.txt").read_text())
    assert len(lists) == 1


def test_one_folder_a_class(capsys, digits):
    folder, labels = digits
    for name, label in labels.items():
        (folder / f"d{label}").mkdir(exist_ok=True)
        (folder / name).rename(folder / f"d{label}" / name)
    code, out, _ = init(capsys, CLASSIFIER, "--images", "pictures")
    assert code == 0
    assert "one folder a class" in out
    lines = [line.split() for line in Path("lists/mobilenet_digits/val.txt").read_text().splitlines()[1:]]
    assert all(line[0].split("/")[0] == f"d{line[1]}" for line in lines)
    assert errors("mobilenet_digits") == []


def test_masks_by_name(capsys):
    source = examples_dir() / "digits_seg"
    code, out, _ = init(
        capsys, MODELS / "unet_digits.onnx", "--images", source, "--labels", source / "masks", "--name", "maps"
    )
    assert code == 0, out
    values = preset("maps")
    assert values["metric"] == {"metric_cls": "SegStats", "metric_input": {"labels": "lists/maps/val.txt", "axis": 1}}
    assert values["network"]["mean"] == [123.675, 116.28, 103.53]  # what it was trained with, by the score alone
    assert errors("maps") == []
    first = Path("lists/maps/val.txt").read_text().splitlines()[1].split()
    assert Path(first[0]).stem == Path(first[1]).stem


def enlarger(place, channels, stored):
    """Write a network that doubles the sides of a picture of 16 x 12: its output lies in 0..1, or is as `stored`."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["large"], mode="linear"),
        helper.make_node("Mul", ["large", "range"], ["y"]),
    ]
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "range": np.array(255 if stored else 1, np.float32)}
    graph = helper.make_graph(
        nodes,
        "enlarger",
        [value("x", TensorProto.FLOAT, [1, channels, 12, 16])],
        [value("y", TensorProto.FLOAT, [1, channels, 24, 32])],
        [numpy_helper.from_array(item, name) for name, item in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), place)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [False, True])
def test_true_pictures_of_a_network_that_makes_pictures(capsys, tmp_path, channels, stored):
    enlarger(tmp_path / "net.onnx", channels, stored)
    rng = np.random.default_rng(4)
    for folder in ("small", "large"):
        (tmp_path / folder).mkdir()
    for number in range(10):
        truth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((32, 24), Image.Resampling.BICUBIC)
        truth = truth if channels == 3 else truth.convert("L")
        truth.save(tmp_path / f"large/{number}.png")
        truth.resize((16, 12), Image.Resampling.BOX).save(tmp_path / f"small/{number}.png")
    code, said, _ = init(capsys, "net.onnx", "--images", "small", "--labels", "large", "--name", "mine")
    assert code == 0
    metric = preset("mine")["metric"]
    assert metric["metric_cls"] == "psnr"
    assert metric["metric_input"].get("range", 1) == (255 if stored else 1)
    assert (preset("mine")["network"]["mean"], preset("mine")["network"]["stddev"]) == (0, 255)
    assert "sure    metric.metric_cls" in said
    assert errors("mine") == []


def test_anchors_are_named_with_their_line(capsys):
    source = examples_dir() / "digits_det"
    words = ("--images", source / "images", "--labels", source / "annotations", "--name", "boxes")
    code, out, _ = init(capsys, MODELS / "yolo_digits.onnx", *words)
    assert code == 0
    edit = next(line for line in out.splitlines() if line.startswith("edit: "))
    place, key = edit.split(": ")[1:3]
    assert key == "metric.metric_input.anchors"
    file, line = place.split(":")
    assert Path(file).read_text().splitlines()[int(line) - 1].strip().startswith("anchors:")
    assert [len(head) for head in preset("boxes")["metric"]["metric_input"]["anchors"]] == [3, 3]
    assert errors("boxes") == []


def test_without_labels_the_outputs_are_compared_with_float(capsys, digits):
    code, out, _ = init(capsys, CLASSIFIER, "--images", "pictures")
    assert code == 0
    assert preset("mobilenet_digits")["metric"] == {"metric_cls": "cosine"}
    assert any(line.startswith("unsure  network.mean") for line in out.splitlines())
    assert errors("mobilenet_digits") == []


def test_without_pictures_noise_shows_that_it_runs(capsys):
    code, out, _ = init(capsys, CLASSIFIER, "--name", "bare")
    assert code == 0
    assert "arrays of noise" in out
    assert errors("bare") == []
    words = ("+model=bare", "quantization.weight_rounding=nearest", "quantization.accuracy_level=1")
    assert cli.main([*words, "--quiet"]) == 0


def test_pictures_that_cannot_be_used_are_left_out_and_told(capsys, digits):
    folder = digits[0]
    (folder / "broken.png").write_bytes(b"no picture")
    first = min(digits[1])
    (folder / first).rename(folder / "with blank.png")
    code, out, _ = init(capsys, CLASSIFIER, "--images", "pictures")
    assert code == 0
    assert "broken.png" in out
    assert "'with blank.png'" in out
    text = "".join(Path(f"lists/mobilenet_digits/{name}.txt").read_text() for name in ("calib", "val"))
    assert "broken" not in text
    assert "blank" not in text


def test_what_is_there_is_replaced_with_force_only(capsys, digits):
    words = (CLASSIFIER, "--images", "pictures", "--name", "mine")
    assert init(capsys, *words)[0] == 0
    Path("conf/model/mine.yaml").write_text("mine")
    code, _, err = init(capsys, *words)
    assert code == 2
    assert [line.split(":")[0] for line in err.splitlines()] == [
        "lists/mine/calib.txt",
        "lists/mine/val.txt",
        "conf/model/mine.yaml",
    ]
    assert "is there already; --force replaces it" in err
    assert Path("conf/model/mine.yaml").read_text() == "mine"
    assert init(capsys, *words, "--force")[0] == 0
    assert preset("mine")["network"]["name"] == "mine"


WRONG = {
    "no such model": (("none.onnx",), "there is no such model file"),
    "a model of another kind": (("pictures/val_000.png",), "a model is an .onnx or .tflite file"),
    "a broken model": (("broken.onnx",), "broken.onnx: this is no"),
    "a broken tflite": (("broken.tflite",), "broken.tflite: "),
    "no such folder": ((CLASSIFIER, "--images", "none"), "--images: there is no such folder"),
    "an empty folder": ((CLASSIFIER, "--images", "empty"), "--images: there is no picture and no array in it"),
    "no such labels": ((CLASSIFIER, "--images", "pictures", "--labels", "no"), "--labels: there is no such file"),
    "labels of others": (
        (CLASSIFIER, "--images", "pictures", "--labels", "others.txt"),
        "--labels: its labels belong to none of the 40 samples",
    ),
    "an empty label file": ((CLASSIFIER, "--images", "pictures", "--labels", "none.txt"), "there are no labels in it"),
    "too few labels": ((CLASSIFIER, "--images", "pictures", "--labels", "few.txt"), "2 labels without names for 40"),
    "a json of something else": ((CLASSIFIER, "--images", "pictures", "--labels", "a.json"), "is no COCO json"),
    "labels alone": ((CLASSIFIER, "--labels", "others.txt"), "--labels: labels need the folder of their pictures"),
    "a name with slashes": ((CLASSIFIER, "--name", "a/b"), "--name: cannot be the name of a preset (got 'a/b')"),
    "a name that climbs": ((CLASSIFIER, "--name", ".."), "--name: cannot be the name of a preset"),
    "a name that Hydra reads as nothing": ((CLASSIFIER, "--name", "null"), "--name: cannot be the name of a preset"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_message_and_writes_nothing(capsys, digits, tmp_path, case):
    (tmp_path / "empty").mkdir()
    for name, text in {
        "others.txt": "x.png 1\ny.png 2\n",
        "none.txt": "\n",
        "few.txt": "4\n2\n",
        "a.json": "{}",
    }.items():
        (tmp_path / name).write_text(text)
    for name in ("broken.onnx", "broken.tflite"):
        (tmp_path / name).write_bytes(b"\x08\x07 something that is no model")
    words, message = WRONG[case]
    code, out, err = init(capsys, *words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
    assert "Traceback" not in err
    assert written() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_an_unwritable_folder(capsys, tmp_path):
    tmp_path.chmod(0o500)
    try:
        code, _, err = init(capsys, CLASSIFIER)
    finally:
        tmp_path.chmod(0o700)
    assert code == 2
    assert "cannot be written" in err


def test_what_was_written_is_taken_away_where_the_rest_cannot_be(capsys, digits):
    Path("conf").write_text("a file where a folder should be")
    code, _, err = init(capsys, CLASSIFIER, "--images", "pictures")
    assert code == 2
    assert "cannot be written" in err
    assert not Path("lists").exists()
    assert Path("conf").read_text() == "a file where a folder should be"
