"""Wrong input: one clear message, exit code 2, no traceback, earlier results untouched."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image


@pytest.fixture
def earlier(tmp_path):
    """Return an output folder with the results of an earlier run."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "BestProfile.txt").write_text("earlier_96.yaml\n")
    (output / "run.json").write_text("{}\n")
    return output


@pytest.fixture
def images(tmp_path, repo_root):
    """Return a copy of the classification images with a short list."""
    folder = tmp_path / "images"
    shutil.copytree(repo_root / "examples" / "data" / "digits_cls", folder)
    return folder


def refuse(slimai, earlier, *words, expect):
    before = {path.name: path.read_bytes() for path in earlier.iterdir() if path.is_file()}
    done = slimai("+model=mobilenet_digits", f"path.output_dir={earlier}", *words)
    text = done.stdout + done.stderr
    assert done.returncode == 2, text
    assert "Traceback" not in text
    for part in expect:
        assert part in text
    for name, data in before.items():
        assert (earlier / name).read_bytes() == data
    return text


def test_misspelt_key(slimai, earlier):
    refuse(slimai, earlier, "quantization.rnage=96", expect=["quantization.rnage=96", "did you mean", "range"])


def test_missing_image(slimai, earlier, images):
    listed = (images / "val.txt").read_text().splitlines()
    missing = listed[3].split()[0]
    (images / missing).unlink()
    refuse(slimai, earlier, f"path.image_dir={images}", expect=["val.txt:4", missing])


def test_truncated_onnx(slimai, earlier, tmp_path, repo_root):
    model = tmp_path / "cut.onnx"
    data = (repo_root / "examples/data/models/mobilenet_digits.onnx").read_bytes()
    model.write_bytes(data[: len(data) // 2])
    refuse(slimai, earlier, f"network.input_model={model}", expect=["cut.onnx"])


def test_image_of_another_size(slimai, earlier, images):
    listed = (images / "val.txt").read_text().splitlines()
    name = listed[1].split()[0]
    Image.new("RGB", (50, 40)).save(images / name)
    refuse(slimai, earlier, f"path.image_dir={images}", expect=[name.rsplit("/", 1)[-1], "50", "40", "network.resize"])


def test_empty_list(slimai, earlier, images):
    (images / "calib.txt").write_text("")
    refuse(slimai, earlier, f"path.image_dir={images}", expect=["calib.txt"])


def test_output_folder_that_cannot_be_made(slimai, earlier, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = slimai("+model=mobilenet_digits", f"path.output_dir={blocked}/out")
    text = done.stdout + done.stderr
    assert done.returncode == 2, text
    assert "Traceback" not in text
    assert "path.output_dir" in text
    assert blocked.read_text() == "in the way"
