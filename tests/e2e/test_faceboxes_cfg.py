"""legacy_cfg/faceboxes.cfg for real: FaceBoxes, its priors and face pictures, scored by examples/custom_metric."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

pytestmark = [pytest.mark.shared, pytest.mark.slow]
IMAGES = 24
SIDE = 512


def fit_picture(picture, xml, folder):
    """Write the picture and its annotation fitted into the upper left corner of 512 x 512, as the vendor wants them."""
    with Image.open(picture) as original:
        scale = min(SIDE / original.width, SIDE / original.height)
        size = (round(original.width * scale), round(original.height * scale))
        canvas = Image.new("RGB", (SIDE, SIDE))
        canvas.paste(original.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    canvas.save(folder / f"{picture.stem}.png")
    tree = ET.parse(xml)  # noqa: S314 - the sample's own annotations
    for corner in tree.iterfind("object/bndbox/*"):
        corner.text = str(float(corner.text) * scale)
    for tag in ("size/width", "size/height"):
        tree.find(tag).text = str(SIDE)
    tree.write(folder / "faceboxes" / "imagelist" / xml.name)


@pytest.fixture
def job(tmp_path, shared_data, repo_root):
    """Return a folder with the cfg beside its data and its plug-in, converted to ./conf/model/faceboxes.yaml."""
    labels = tmp_path / "faceboxes" / "imagelist"
    labels.mkdir(parents=True)
    source = shared_data / "datasets" / "face"
    lines = (source / "val.txt").read_text().splitlines()[1 : IMAGES + 1]
    for line in lines:
        picture, xml = line.split()
        fit_picture(source / picture, source / "annotations" / xml, tmp_path)
    names = [line.split()[1].removesuffix(".xml") for line in lines]
    (tmp_path / "val.txt").write_text("\n".join([str(IMAGES), *(f"{name}.png {name}.xml" for name in names)]) + "\n")
    (tmp_path / "calib.txt").write_text("\n".join(["8", *(f"{name}.png" for name in names[:8])]) + "\n")
    shutil.copy(shared_data / "models" / "onnx" / "faceboxes_512.anchor.txt", labels / "anchor.txt")
    plugins = tmp_path / "slimai_custom_metric" / "metric_plugin"
    plugins.mkdir(parents=True)
    shutil.copy(repo_root / "examples" / "custom_metric" / "faceboxes_map.py", plugins)
    text = (repo_root / "legacy_cfg" / "faceboxes.cfg").read_text(encoding="utf-8")
    for key, value in {
        "output_dir": "out",
        "image_dir": ".",
        "input_model": shared_data / "models" / "onnx" / "faceboxes_512.onnx",
        "calibration_count": 8,
        "validation_count": IMAGES,
    }.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert count == 1, key
    (tmp_path / "faceboxes.cfg").write_text(text)
    return tmp_path


def test_the_cfg_runs_with_its_plugin(job, slimai):
    converted = slimai("convert", "faceboxes.cfg", "-o", "conf/model/faceboxes.yaml", cwd=job)
    assert converted.returncode == 0, converted.stderr
    common = ["+model=faceboxes", "quantization.weight_rounding=nearest", "metric.output_debug=0"]
    own = slimai(*common, "path.output_dir=own", cwd=job)
    assert own.returncode == 0, own.stderr
    built_in = slimai(
        *common, "path.output_dir=built_in", "metric.metric_cls=voc_det_AP",
        "metric.metric_input='faceboxes/imagelist threshold=0.6,custom_pp=ssd,voc_labels=[face],data_offset=-1,"
        "iou_threshold=0.3,input_size=512:512'",
        cwd=job,
    )  # fmt: skip
    assert built_in.returncode == 0, built_in.stderr
    mine, theirs = (json.loads((job / name / "run.json").read_text()) for name in ("own", "built_in"))
    assert mine["float"]["score"] > 0.8
    # a blob has six decimals, which may move a box across the limit of an overlap
    assert mine["float"]["score"] == pytest.approx(theirs["float"]["score"], abs=0.002)
    assert mine["best"]["score"] == pytest.approx(theirs["best"]["score"], abs=0.002)
    assert mine["best"]["score"] > mine["float"]["score"] - 0.1
