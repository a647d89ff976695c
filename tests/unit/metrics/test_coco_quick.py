"""The quick score of coco_det_AP is the score."""

from __future__ import annotations

import json

import numpy as np

from slimai.metrics.create import create_metric
from slimai.metrics.scores import quick_score
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
        assert quick_score(metric, picked) == metric.combine(picked).score
    scaled = create_metric("coco_det_AP", spec, make_context("bsc", samples), score_range=(0.0, 0.5))
    assert quick_score(scaled, records) == scaled.combine(records).score
