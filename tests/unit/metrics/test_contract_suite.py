"""The contract suite for third parties, inherited by metrics of every kind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from slimai.metrics.create import create_metric
from slimai.metrics.testing import MetricContract
from slimai.schema.metric import SPECS, names_of
from slimai.schema.metric_specs import CocoInput, ImageInput, SegInput, VocInput


def test_every_kind_of_metric_is_tried_here():
    """A row of a kind that is tried is tried too; another kind wants a class of its own below."""
    assert set(SPECS) == {"voc", "coco", "segmentation", "image", "topk", "plain"}
    assert names_of("plain") == ("cosine", "NoMetric")  # NoMetric has neither record nor score


class TestVoc(MetricContract):
    @pytest.fixture
    def samples(self, make_samples):
        return make_samples(3)

    @pytest.fixture
    def metric(self, tmp_path, samples, make_context, write_voc):
        for at, sample in enumerate(samples):
            write_voc(tmp_path / f"{sample.stem}.xml", [("ant", 10 + at, 10, 50, 60), ("bee", 5, 5, 20, 20)])
        return create_metric(
            "voc_det_AP", VocInput(annotations=tmp_path, voc_labels=("ant", "bee")), make_context("bsc", samples)
        )

    @pytest.fixture
    def cases(self, samples):
        rng = np.random.default_rng(0)
        boxes = np.array([[[10, 10, 50, 60], [5, 5, 20, 20], [40, 40, 70, 70]]], np.float32)
        return [
            (sample, [boxes, rng.random((1, 3)).astype(np.float32), np.array([[0, 1, 1]], np.float32)], [])
            for sample in samples
        ]


class TestCoco(MetricContract):
    @pytest.fixture
    def metric(self, tmp_path, make_samples, make_context):
        boxes = [[10, 10, 40, 50], [5, 5, 15, 15]]
        data = {
            "images": [{"id": at, "file_name": f"img{at}.png", "width": 100, "height": 80} for at in range(3)],
            "categories": [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}],
            "annotations": [
                {"id": 2 * at + k + 1, "image_id": at, "category_id": k + 1, "bbox": box, "area": 200.0, "iscrowd": 0}
                for at in range(3)
                for k, box in enumerate(boxes)
            ],
        }
        (tmp_path / "i.json").write_text(json.dumps(data))
        spec = CocoInput(instances=tmp_path / "i.json", classes=2)
        return create_metric("coco_det_AP", spec, make_context("bsc", make_samples(3)))

    @pytest.fixture
    def cases(self, make_samples):
        rng = np.random.default_rng(0)
        boxes = np.array([[[10, 10, 50, 58], [5, 5, 20, 22], [40, 40, 70, 70]]], np.float32)
        return [
            (sample, [boxes, rng.random((1, 3)).astype(np.float32), np.array([[1, 2, 2]], np.float32)], [])
            for sample in make_samples(3)
        ]


@pytest.mark.parametrize("which", names_of("segmentation"))
class TestSegmentation(MetricContract):
    @pytest.fixture
    def metric(self, which, tmp_path, make_samples, make_context):
        rng = np.random.default_rng(1)
        for at in range(3):
            Image.fromarray(rng.integers(0, 3, (6, 9), np.uint8)).save(tmp_path / f"m{at}.png")
        (tmp_path / "l.txt").write_text("m0.png\nm1.png\nm2.png\n")
        return create_metric(which, SegInput(labels=tmp_path / "l.txt", axis=1), make_context(("o",), make_samples(3)))

    @pytest.fixture
    def cases(self, make_samples):
        rng = np.random.default_rng(2)
        return [(sample, [rng.normal(size=(1, 3, 6, 9)).astype(np.float32)], []) for sample in make_samples(3)]


@pytest.mark.parametrize("which", [*names_of("image"), "cosine"])
class TestAgainstFloat(MetricContract):
    @pytest.fixture
    def metric(self, which, make_samples, make_context):
        spec = None if which == "cosine" else ImageInput(use_float=True)
        return create_metric(which, spec, make_context(("o",), make_samples(3)))

    @pytest.fixture
    def cases(self, make_samples):
        rng = np.random.default_rng(2)
        found = []
        for sample in make_samples(3):
            truth = rng.random((1, 3, 16, 16)).astype(np.float32)
            found.append((sample, [truth + rng.normal(0, 0.02, truth.shape).astype(np.float32)], [truth]))
        return found


@pytest.mark.parametrize("which", names_of("topk"))
class TestTopK(MetricContract):
    @pytest.fixture
    def metric(self, which, make_samples, make_context):
        return create_metric(which, None, make_context(("o",), make_samples(3, ["1", "2", "0"])))

    @pytest.fixture
    def cases(self, make_samples):
        rng = np.random.default_rng(2)
        return [(sample, [rng.normal(size=(1, 9)).astype(np.float32)], []) for sample in make_samples(3)]


class TestVendorPlugin(MetricContract):
    @pytest.fixture
    def metric(self, repo_root, monkeypatch, make_context):
        monkeypatch.setenv("CUSTOM_METRIC_PATH", str(repo_root / "examples" / "custom_metric"))
        data = repo_root / "examples" / "custom_metric" / "data"
        return create_metric(
            "faceboxes_map", f"{data}/imagelist threshold=0.1", make_context(("loc", "conf"), self.samples(repo_root))
        )

    def samples(self, repo_root):
        from slimai.data.image_list import parse_image_list

        data = repo_root / "examples" / "custom_metric" / "data"
        return parse_image_list(data / "tmp_val.txt", data, look=False)[0]

    @pytest.fixture
    def cases(self, repo_root):
        from slimai.blobs.reader import read_blob

        data = repo_root / "examples" / "custom_metric" / "data" / "faceboxes_93"
        return [
            (
                sample,
                [
                    read_blob(data / f"{sample.stem}_loc.blob").real((1, 36, 4)),
                    read_blob(data / f"{sample.stem}_conf.blob").real((1, 36, 2)),
                ],
                [],
            )
            for sample in self.samples(repo_root)
        ]
