"""Real networks on real pictures: the float score of each example config is the published one (data/README.md)."""

from __future__ import annotations

import pytest

from slimai.app.opening.open_job import prepare
from slimai.config.compose import compose_job, hydra_ready
from slimai.config.diagnose import judge
from slimai.runtime.session import FloatSession

pytestmark = [pytest.mark.shared, pytest.mark.slow]

CASES = [
    ("mobilenetv2_yolov3_nano_voc", [], {"mAP": 0.7951}),
    ("ultraface_ssd", [], {"mAP": 0.9061}),
    ("faceboxes_ssd", [], {"mAP": 0.9736}),
    ("yolo_fastest_coco", [], {"AP": 0.1727, "AP50": 0.3452}),
    ("yolox_nano_coco", [], {"AP": 0.3576, "AP50": 0.534}),
    ("portrait_segmentation", [], {"MIU": 0.6933, "PxAcc": 0.8305, "MAcc": 0.819, "FrWIU": 0.7137}),
    ("espnet_camvid", [], {"MIU": 0.5776, "PxAcc": 0.8799, "MAcc": 0.6819, "FrWIU": 0.8004}),
]


def float_result(name, overrides):
    with hydra_ready():
        verdict = judge(compose_job([f"+model={name}", *overrides]))
    assert verdict.config is not None, verdict
    job = prepare(verdict.config)
    session = FloatSession(job.graph)
    records = []
    for line in job.validation:
        sample, feeds = job.preprocess(line)
        found = session.run(feeds)
        outputs = [found[output] for output in job.outputs]
        records.append(job.metric.measure(sample, outputs, outputs))
    return job.metric.combine(records)


@pytest.fixture(autouse=True)
def _shared_folder(shared_data, monkeypatch, repo_root):
    monkeypatch.setenv("SLIMAI_SHARED", str(shared_data.parent))
    monkeypatch.chdir(repo_root)


@pytest.mark.parametrize(("name", "overrides", "published"), CASES, ids=[case[0] for case in CASES])
def test_published_score(name, overrides, published):
    result = float_result(name, overrides)
    for key, value in published.items():
        assert result.values[key] == pytest.approx(value, abs=0.01)
    assert result.score == result.values[next(iter(published))]


def test_super_resolution():
    result = float_result("fsrcnn_x2", [])
    assert result.value == pytest.approx(29.741, abs=0.02)  # dB; 29.744 with the output rounded to 8 bits
    assert result.score == pytest.approx(0.29741, abs=0.0002)
    ssim = float_result("fsrcnn_x2", ["metric.metric_cls=ssim"])
    assert 0.8 < ssim.score < 1.0
