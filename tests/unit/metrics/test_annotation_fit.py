"""Annotations that were made for pictures of another size than the ones that are read."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.base import MetricContext
from slimai.metrics.create import create_metric
from slimai.metrics.labels.annotation_fit import AnnotationFit, same_aspect
from slimai.schema.metric_specs import CocoInput, VocInput

OUTPUTS = ("boxes", "scores", "classes")
SHAPES = ((1, 2, 4), (1, 2), (1, 2))


def made(how: str, box: tuple[float, ...], annotated, picture) -> list[float]:
    """Return corners in the picture of a box in the annotation, by arithmetic of this test's own."""
    across, down = picture[0] / annotated[0], picture[1] / annotated[1]
    if how != "stretch":
        across = down = min(across, down) if how == "letterbox" else max(across, down)
    left, top = (picture[0] - annotated[0] * across) / 2, (picture[1] - annotated[1] * down) / 2
    return [box[0] * across + left, box[1] * down + top, box[2] * across + left, box[3] * down + top]


def boxes_of(size) -> list[tuple[float, ...]]:
    """Return two boxes about the centre, so that a crop keeps most of them."""
    w, h = size
    return [(0.3 * w, 0.25 * h, 0.55 * w, 0.7 * h), (0.5 * w, 0.4 * h, 0.7 * w, 0.75 * h)]


def samples_of(folder: Path, sizes, network) -> list[Sample]:
    found = []
    for at, size in enumerate(sizes):
        scale = (network[0] / size[0], network[1] / size[1])
        found.append(Sample(at, (folder / f"img{at}.png",), (), ImageGeometry(size, network, scale)))
    return found


def outputs_of(corners, network, picture):
    scale = np.array([network[0] / picture[0], network[1] / picture[1]] * 2)
    boxes = np.array(corners)[None] * scale
    return [boxes, np.array([[0.9, 0.8]]), np.array([[1.0, 2.0]])]


def voc_metric(folder, samples, annotated, write_voc, how="auto", network=(64, 64)):
    for sample in samples:
        objects = [(name, *box) for name, box in zip(("ant", "bee"), boxes_of(annotated), strict=True)]
        write_voc(folder / f"{sample.stem}.xml", objects, annotated)
    spec = VocInput.model_validate({"annotations": folder, "voc_labels": ["ant", "bee"], "data_offset": -1})
    context = MetricContext(
        OUTPUTS, SHAPES, folder, folder, input_size=network, samples=tuple(samples), annotation_fit=how
    )
    return create_metric("voc_det_AP", spec, context)


def scored(metric, samples, how, annotated, network):
    records = []
    for sample in samples:
        picture = sample.geometry.original
        corners = [made(how, box, annotated, picture) for box in boxes_of(annotated)]
        records.append(metric.measure(sample, outputs_of(corners, network, picture), None))
    return metric.combine(records)


SIDES = st.integers(60, 900)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    annotated=st.tuples(SIDES, SIDES),
    picture=st.tuples(SIDES, SIDES),
    network=st.tuples(st.integers(32, 640), st.integers(32, 640)),
    how=st.sampled_from(["stretch", "letterbox", "center_crop"]),
)
def test_a_perfect_detector_scores_one_however_the_picture_was_made(
    tmp_path, write_voc, annotated, picture, network, how
):
    samples = samples_of(tmp_path, [picture], network)
    metric = voc_metric(tmp_path, samples, annotated, write_voc, how, network)
    inside = all(
        0 <= x <= picture[0] and 0 <= y <= picture[1]
        for box in boxes_of(annotated)
        for x, y in (made(how, box, annotated, picture)[:2], made(how, box, annotated, picture)[2:])
    )
    if inside:  # a crop may cut an object off
        assert metric.check_samples(samples) == []
        assert scored(metric, samples, how, annotated, network).score == 1.0


def test_pictures_of_the_networks_size_are_taken_as_stretched_and_it_is_said_once(tmp_path, write_voc):
    network, annotated = (64, 64), (500, 375)
    samples = samples_of(tmp_path, [network] * 3, network)
    metric = voc_metric(tmp_path, samples, annotated, write_voc)
    (note,) = map(str, metric.check_samples(samples))
    assert note == (
        "metric.annotation_fit: 3 pictures have another size than their annotation says ('img0.png': 500x375 in the "
        "annotation, 64x64 read); boxes are scaled as if the pictures had been stretched; set metric.annotation_fit "
        "where that is not how they were made"
    )
    assert scored(metric, samples, "stretch", annotated, network).score == 1.0


def test_the_same_aspect_ratio_is_scaled(tmp_path, write_voc):
    network, annotated = (64, 64), (640, 480)
    samples = samples_of(tmp_path, [(320, 240), (321, 240)], network)
    metric = voc_metric(tmp_path, samples, annotated, write_voc)
    (note,) = metric.check_samples(samples)
    assert (note.severity, note.key) == ("warning", "metric.annotation_fit")
    assert "'img0.png': 640x480 in the annotation, 320x240 read); boxes are scaled" in note.message
    assert scored(metric, samples, "stretch", annotated, network).score == 1.0


def test_other_sizes_are_refused_with_picture_and_both_sizes(tmp_path, write_voc):
    samples = samples_of(tmp_path, [(300, 300), (64, 64)], (64, 64))
    metric = voc_metric(tmp_path, samples, (640, 480), write_voc)
    errors = [item for item in metric.check_samples(samples) if item.severity == "error"]
    (error,) = map(str, errors)
    assert error == (
        f"{tmp_path}/img0.xml: metric.annotation_fit: image 'img0.png': the annotation is for a picture of 640x480, "
        "the picture has 300x300; say with metric.annotation_fit how the picture was made: stretch, letterbox or "
        "center_crop"
    )


@pytest.mark.parametrize("text", ["0", "", None])
def test_a_size_that_is_not_told_is_the_pictures(tmp_path, write_voc, text):
    samples = samples_of(tmp_path, [(100, 80)], (64, 64))
    metric = voc_metric(tmp_path, samples, (100, 80), write_voc)
    path = tmp_path / "img0.xml"
    side = "" if text is None else f"<width>{text}</width>"
    path.write_text(path.read_text().replace("<width>100</width>", side))
    spec = VocInput.model_validate({"annotations": tmp_path, "voc_labels": ["ant", "bee"], "data_offset": -1})
    context = MetricContext(OUTPUTS, SHAPES, tmp_path, tmp_path, input_size=(64, 64), samples=tuple(samples))
    metric = create_metric("voc_det_AP", spec, context)
    assert metric.check_samples(samples) == []
    assert scored(metric, samples, "stretch", (100, 80), (64, 64)).score == 1.0


@pytest.mark.parametrize("text", ["many", "-5", "inf", "nan", "10.5", "1e300"])
def test_a_size_that_is_no_number_is_refused(tmp_path, write_voc, text):
    samples = samples_of(tmp_path, [(100, 80)], (64, 64))
    path = write_voc(tmp_path / "img0.xml", [("ant", 1, 1, 5, 5)])
    path.write_text(path.read_text().replace("<width>100</width>", f"<width>{text}</width>"))
    spec = VocInput.model_validate({"annotations": tmp_path, "voc_labels": ["ant", "bee"]})
    context = MetricContext(OUTPUTS, SHAPES, tmp_path, tmp_path, samples=tuple(samples))
    with pytest.raises(InputError, match=rf"img0.xml: size: <width> must be a whole number of pixels \(got '{text}'\)"):
        create_metric("voc_det_AP", spec, context)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_the_aspect_rule(one, other):
    ratio = (one[0] / one[1]) / (other[0] / other[1])
    if abs(max(ratio, 1 / ratio) - 1.02) > 1e-9:
        assert same_aspect(one, other) == (max(ratio, 1 / ratio) < 1.02)


def test_a_picture_that_nobody_has_seen_must_have_the_networks_size():
    fit = AnnotationFit({0: (64, 48)}, {0: "a.json"}, network=(64, 48))
    assert fit(Sample(0, (Path("x.png"),))).geometry is None
    fit = AnnotationFit({0: (640, 480)}, {0: "a.json"}, network=(64, 48))
    text = (
        "a.json: image 'x.png': the annotation is for 640x480 pixels, the network's input has 64x48, and the picture "
    )
    with pytest.raises(InputError, match=text):
        fit(Sample(0, (Path("x.png"),)))


@pytest.mark.parametrize("how", ["stretch", "letterbox"])
def test_the_numbers_are_pycocotools_own_on_the_original_annotations(tmp_path, how):
    """Detections are brought to the annotations' pixels, so that areas (small, medium, large) stay the file's."""
    generator = np.random.default_rng(5)
    network, sizes = (96, 64), [(640, 480), (333, 500), (120, 90), (500, 375)]
    images, annotations, results, metric_outputs = [], [], [], []
    for at, size in enumerate(sizes):
        images.append({"id": at + 1, "file_name": f"img{at}.png", "width": size[0], "height": size[1]})
        corners, scores, classes = [], [], []
        for number in range(6):
            low = generator.uniform(0.05, 0.5, 2) * size
            sides = np.maximum(generator.uniform(0.05, 0.45, 2) * size, 8)
            box = np.concatenate([low, low + sides])
            label = int(generator.integers(1, 3))
            annotations.append({"id": len(annotations) + 1, "image_id": at + 1, "category_id": label * 10, "iscrowd": 0,
                                "bbox": [*low.tolist(), *sides.tolist()], "area": float(sides.prod())})  # fmt: skip
            shaken = np.clip(box + generator.normal(0, 0.02 * min(size), 4), 0, np.array(size * 2))
            corners.append(made(how, tuple(shaken), size, network))
            scores.append(1.0 - 0.01 * (at * 6 + number))
            classes.append(label)
            sides = shaken[2:] - shaken[:2]
            results.append({"image_id": at + 1, "category_id": label * 10, "score": scores[-1],
                            "bbox": [*shaken[:2].tolist(), *sides.tolist()]})  # fmt: skip
        metric_outputs.append([np.array(corners)[None], np.array([scores]), np.array([classes], np.float64)])
    categories = [{"id": 10, "name": "ant"}, {"id": 20, "name": "bee"}]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    samples = samples_of(tmp_path, [network] * len(sizes), network)
    spec = CocoInput.model_validate({"instances": path, "classes": 2, "annotation_fit": how})
    context = MetricContext(OUTPUTS, ((1, 6, 4), (1, 6), (1, 6)), tmp_path, tmp_path, samples=tuple(samples),
                            input_size=network)  # fmt: skip
    metric = create_metric("coco_det_AP", spec, context)
    pairs = zip(samples, metric_outputs, strict=True)
    found = metric.combine([metric.measure(sample, outputs, None) for sample, outputs in pairs])
    truth = COCO(str(path))
    judge = COCOeval(truth, truth.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    # a letterbox has whole pixels, which moves boxes by up to half of one: the oracle's boxes are not moved
    tolerance = 1e-12 if how == "stretch" else 0.04
    assert found.value == pytest.approx(judge.stats[0], abs=tolerance)
    assert 0.1 < found.value < 0.99
    if how == "stretch":
        theirs = [value for value in judge.stats if value >= 0]
        assert [value for value in found.values.values() if not np.isnan(value)] == pytest.approx(theirs, abs=1e-12)


def test_dumped_blobs_say_it_too(tmp_path, write_voc, caplog):
    from slimai.blobs.writer import format_float_blob, write_blob
    from slimai.metrics.geometry import PictureGeometry
    from slimai.metrics.harness import Dump, score_dump

    Image = pytest.importorskip("PIL.Image")
    network, annotated = (64, 64), (500, 375)
    Image.new("RGB", network).save(tmp_path / "img0.png")
    samples = [Sample(0, (tmp_path / "img0.png",))]
    voc_metric(tmp_path, samples, annotated, write_voc)
    corners = [made("stretch", box, annotated, network) for box in boxes_of(annotated)]
    for name, values in zip(OUTPUTS, outputs_of(corners, network, network), strict=True):
        write_blob(tmp_path / f"img0_{name}.blob", format_float_blob(values.astype(np.float32)))
    spec = VocInput.model_validate({"annotations": tmp_path, "voc_labels": ["ant", "bee"], "data_offset": -1})
    context = MetricContext(OUTPUTS, SHAPES, tmp_path, tmp_path, input_size=network, samples=tuple(samples))
    dump = Dump(OUTPUTS, tmp_path, shapes=dict(zip(OUTPUTS, SHAPES, strict=True)))
    with caplog.at_level(logging.WARNING):
        assert score_dump("voc_det_AP", spec, dump, context, geometry=PictureGeometry(network)).score == 1.0
    assert "500x375 in the annotation, 64x64 read" in caplog.text
