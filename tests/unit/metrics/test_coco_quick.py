"""The quick score of coco_det_AP is the score, and so are those of resampled sets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slimai.metrics.create import create_metric
from slimai.metrics.detection import _kernels, _reference
from slimai.metrics.detection.coco_resampled import RECALLS, resampled_ap
from slimai.metrics.scores import quick_score, resampled_scores
from slimai.schema.metric_specs import CocoInput


def test_quick_score_equals_the_score(tmp_path, make_samples, make_context):
    rng = np.random.default_rng(0)
    annotations = []
    for image in range(10):
        for _ in range(4):
            x, y, w, h = (int(v) for v in rng.integers(1, 50, 4))
            entry = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": int(rng.integers(1, 4)),
                "iscrowd": 0,
            }
            annotations.append({**entry, "bbox": [x, y, w, h], "area": w * h})
    data = {
        "images": [{"id": at, "file_name": f"img{at}.png", "width": 100, "height": 100} for at in range(10)],
        "categories": [{"id": at, "name": str(at)} for at in (1, 2, 3, 4)],
        "annotations": annotations,
    }
    (tmp_path / "i.json").write_text(json.dumps(data))
    samples = make_samples(10)
    spec = CocoInput(instances=tmp_path / "i.json", classes=4)
    metric = create_metric("coco_det_AP", spec, make_context("bsc", samples))
    records = []
    for sample in samples:
        mine = [entry for entry in annotations if entry["image_id"] == sample.index]
        boxes = np.array([entry["bbox"] for entry in mine], float)
        boxes[:, 2:] += boxes[:, :2] + rng.normal(0, 2, (4, 2))
        classes = np.array([entry["category_id"] for entry in mine], float)
        records.append(metric.measure(sample, [boxes[None], rng.random((1, 4)), classes[None]], None))
    draws = [rng.integers(0, 10, 10) for _ in range(5)]
    for draw in [np.arange(10), *draws]:
        picked = [records[at] for at in draw]
        assert 0.05 < metric.combine(picked).score < 1
        assert quick_score(metric, picked) == pytest.approx(metric.combine(picked).score, rel=0, abs=1e-13)
    places = np.array([[8, 1, 1, 5, 0, 9, 9, 9, 2, 7], *draws])
    shuffled = [records[at] for at in rng.permutation(10)]
    found = resampled_scores(metric, shuffled, places)
    truth = [metric.combine([shuffled[at] for at in draw]).score for draw in places]
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-13)  # the mean is summed in another order
    scaled = create_metric("coco_det_AP", spec, make_context("bsc", samples), score_range=(0.0, 0.5))
    assert quick_score(scaled, records) == pytest.approx(scaled.combine(records).score, rel=0, abs=1e-13)
    np.testing.assert_array_equal(
        resampled_scores(scaled, records, places),
        [quick_score(scaled, [records[at] for at in draw]) for draw in places],
    )


@pytest.mark.parametrize("detections", [0, 1, 40])
def test_compiled_precision_and_numpy_twin_agree(detections):
    rng = np.random.default_rng(detections)
    state = rng.integers(-1, 2, (10, detections)).astype(np.int8)
    weights, objects = rng.integers(0, 3, (7, detections)), rng.integers(0, 60, 7)
    objects[3] = 0
    mine, twin = np.zeros(7), np.zeros(7)
    _kernels.add_precision(state, weights, objects, RECALLS, mine)
    _reference.add_precision(state, weights, objects, RECALLS, twin)
    np.testing.assert_allclose(mine, twin, rtol=0, atol=1e-9)  # sums of up to 1010 precisions, in another order
    assert mine[3] == 0
    assert detections == 0 or mine.any()


def test_a_resampled_set_without_objects_has_no_score():
    nothing = np.zeros(0)
    record = {
        "image": np.array([0]),
        "bbox/scores": nothing,
        "bbox/classes": nothing.astype(int),
        "bbox/match": np.zeros((4, 10, 0), bool),
        "bbox/ignore": np.zeros((4, 10, 0), bool),
        "bbox/object_classes": np.array([2]),
        "bbox/object_ignore": np.zeros((4, 1), bool),
    }
    empty = {**record, "bbox/object_classes": nothing.astype(int), "bbox/object_ignore": np.zeros((4, 0), bool)}
    found = resampled_ap("bbox", [record, empty], np.array([[1, 1], [0, 2]]))
    assert found[0] == 0.0
    assert np.isnan(found[1])
