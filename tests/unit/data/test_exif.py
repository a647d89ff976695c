"""EXIF orientation: pictures, boxes and label images are turned as Pillow's own `exif_transpose` turns them."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from slimai.data.exif import orientation_of, turn_array, turn_points, turned_size
from slimai.data.preprocess import InputSpec, Preprocess
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.base import MetricContext
from slimai.metrics.create import create_metric
from slimai.metrics.geometry import PictureGeometry
from slimai.metrics.labels.annotation_turn import turn_boxes, turn_needed
from slimai.report.pictures import picture_of
from slimai.schema.metric_specs import CocoInput, SegInput, VocInput

ALL = range(1, 9)
SIZE = (48, 64)  # stored: width, height
OUTPUTS = ("boxes", "scores", "classes")
SHAPES = ((1, 1, 4), (1, 1), (1, 1))


def gradient(size=SIZE) -> np.ndarray:
    """Return a picture [h, w, 3] of which no turn looks like another."""
    y, x = np.mgrid[: size[1], : size[0]]
    return np.stack([4 * x, 3 * y, x + y], axis=-1).astype(np.uint8)


def save(path, orientation, pixels=None):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient() if pixels is None else pixels).save(
        path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {})
    )
    return path


def late_exif_png(path, orientation):
    """Write a PNG whose eXIf chunk stands behind the pixels, as the format allows."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(gradient()).save(file, "PNG")
    data = exif.tobytes()[6:]
    chunk = b"eXIf" + data
    whole = struct.pack(">I", len(data)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(file.getvalue()[:-12] + whole + file.getvalue()[-12:])
    return path


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("kind", ["a.jpg", "a.png", "late.png"])
def test_a_picture_is_turned_as_pillow_turns_it(tmp_path, orientation, kind):
    path = tmp_path / kind
    (late_exif_png if kind == "late.png" else save)(path, orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    height, width = expected.shape[:2]
    sample = Sample(0, (path,))
    preprocess = Preprocess([InputSpec("x", (1, 3, height, width))])
    placed, arrays = preprocess(sample)
    assert np.array_equal(arrays["x"][0].transpose(1, 2, 0), expected)
    assert placed.geometry == ImageGeometry((width, height), (width, height), orientation=orientation)
    assert preprocess.survey([sample])[0][(path,)] == placed.geometry
    assert PictureGeometry((width, height))(sample) == placed.geometry
    assert np.array_equal(np.asarray(picture_of(placed)), expected)
    stored = Preprocess([InputSpec("x", (1, 3, 64, 48), exif="ignore")])(sample)
    with Image.open(path) as image:
        assert np.array_equal(stored[1]["x"][0].transpose(1, 2, 0), np.asarray(image))
    assert stored[0].geometry.orientation == 1


@given(st.sampled_from(list(ALL)), st.integers(1, 9), st.integers(1, 9), st.data())
def test_points_go_where_their_pixels_go(orientation, width, height, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    pixels = np.zeros((height, width), np.uint8)
    pixels[y, x] = 1
    rows, columns = np.nonzero(turn_array(pixels, orientation))
    centre = turn_points(np.array([[x + 0.5, y + 0.5]]), (width, height), orientation)
    assert centre.tolist() == [[columns[0] + 0.5, rows[0] + 0.5]]
    assert turn_array(pixels, orientation).shape[::-1] == turned_size((width, height), orientation)


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_an_orientation_that_is_none_is_upright(tmp_path, tag):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(gradient()).save(path, exif=exif)
    with Image.open(path) as image:
        assert orientation_of(image, path) == 1


@given(st.binary(max_size=60))
def test_damaged_exif_is_upright_or_a_number(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("exif") / "a.jpg"
    Image.fromarray(gradient()).save(path, exif=b"Exif\0\0" + data)
    with Image.open(path) as image:
        assert orientation_of(image, path) in ALL


def test_a_size_error_says_exif(tmp_path):
    path = save(tmp_path / "a.jpg", 6)
    with pytest.raises(InputError) as caught:
        Preprocess([InputSpec("x", (1, 3, 64, 48))])(Sample(0, (path,)))
    assert "the image is 64x48 as its EXIF orientation 6 turns it, the network's input 48x64" in str(caught.value)
    assert "network.exif: ignore reads it as it is stored" in str(caught.value)


BOX = (5.0, 8.0, 30.0, 20.0)  # in the stored picture


def upright_box(orientation):
    """Return the box by turning a mask with Pillow."""
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[8:20, 5:30] = 1
    image = Image.fromarray(mask)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(image)))
    return [columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0]


def context_of(folder, sample, **more):
    return MetricContext(OUTPUTS, SHAPES, folder, folder, samples=(sample,), **more)


def outputs_of(box):
    return [np.array([[box]], np.float64), np.array([[0.9]]), np.array([[1.0]])]


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("factor", [1, 10])
def test_annotations_of_the_stored_picture_are_turned_with_it(tmp_path, orientation, factor):
    path = save(tmp_path / "a.jpg", orientation)
    size = turned_size(SIZE, orientation)
    sample = Preprocess([InputSpec("x", (1, 3, size[1], size[0]))])(Sample(0, (path,)))[0]
    corners = "".join(
        f"<{tag}>{side * factor}</{tag}>" for tag, side in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True)
    )
    told = f"<size><width>{SIZE[0] * factor}</width><height>{SIZE[1] * factor}</height></size>"
    (tmp_path / "a.xml").write_text(
        f"<annotation>{told}<object><name>ant</name><bndbox>{corners}</bndbox></object></annotation>"
    )
    spec = VocInput.model_validate({"annotations": tmp_path, "voc_labels": ["ant"], "data_offset": -1})
    # orientation 2..4 keeps the sides: only the setting can tell
    context = context_of(tmp_path, sample, annotation_exif="stored" if orientation < 5 else "turned")
    metric = create_metric("voc_det_AP", spec, context)
    record = metric.measure(sample, outputs_of(upright_box(orientation)), None)
    assert metric.combine([record]).score == 1.0
    notes = [item.key for item in metric.check_samples([sample])]
    assert ("metric.annotation_exif" in notes) == (orientation < 5)
    # and COCO, with a polygon and a mask output
    x, y, right, bottom = (side * factor for side in BOX)
    sides, polygon = [x, y, right - x, bottom - y], [x, y, right, y, right, bottom, x, bottom]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": sides, "area": sides[2] * sides[3], "iscrowd": 0}
    entry["segmentation"] = [polygon]
    image = {"id": 1, "file_name": "a.jpg", "width": SIZE[0] * factor, "height": SIZE[1] * factor}
    (tmp_path / "a.json").write_text(
        json.dumps({"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "ant"}]})
    )
    mask = turn_array(np.pad(np.ones((12, 25)), ((8, 44), (5, 18))), orientation)[None, None]
    outputs = (*OUTPUTS, "masks")
    context = MetricContext(outputs, (*SHAPES, mask.shape), tmp_path, tmp_path, samples=(sample,), input_size=size,
                            annotation_exif=context.annotation_exif)  # fmt: skip
    metric = create_metric(
        "coco_det_AP", CocoInput.model_validate({"instances": tmp_path / "a.json", "classes": 1}), context
    )
    record = metric.measure(sample, [*outputs_of(upright_box(orientation)), mask], None)
    found = metric.combine([record])
    assert found.values["AP50"] == pytest.approx(1.0)
    assert found.values["bbox/AP"] == pytest.approx(1.0)


@given(st.sampled_from(list(ALL)), st.integers(1, 900), st.integers(1, 900))
def test_sizes_tell_where_they_can(orientation, width, height):
    geometry = ImageGeometry(turned_size((width, height), orientation), (8, 8), orientation=orientation)
    if orientation < 5 or width == height:
        for made in ("turned", "stored"):
            turn, doubtful = turn_needed((width, height), geometry, made)
            assert doubtful == (orientation != 1)
            assert turn == (orientation if made == "stored" else 1)
    else:
        for made in ("turned", "stored"):
            assert turn_needed((width, height), geometry, made) == (orientation, False)
            assert turn_needed((height, width), geometry, made) == (1, False)


def test_boxes_turned_and_turned_back():
    boxes = np.array([BOX])
    for orientation, back in ((2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)):
        turned = turn_boxes(boxes, SIZE, orientation)
        assert np.array_equal(turn_boxes(turned, turned_size(SIZE, orientation), back), boxes)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_label_images_of_the_stored_picture(tmp_path, orientation):
    save(tmp_path / "a.jpg", orientation)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[8:20, 5:30] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "labels.txt").write_text("mask.png\n")
    size = turned_size(SIZE, orientation)
    sample = Preprocess([InputSpec("x", (1, 3, size[1], size[0]))])(Sample(0, (tmp_path / "a.jpg",)))[0]
    found = np.eye(2)[turn_array(mask, orientation)].transpose(2, 0, 1)[None]
    spec = SegInput.model_validate({"labels": tmp_path / "labels.txt", "axis": 1})
    context = MetricContext(("map",), (found.shape,), tmp_path, tmp_path, samples=(sample,),
                            annotation_exif="stored" if orientation == 3 else "turned")  # fmt: skip
    metric = create_metric("SegStats", spec, context)
    assert metric.combine([metric.measure(sample, [found], None)]).score == 1.0
    assert len(metric.check_samples([sample])) == (orientation == 3)
