"""A float score that cannot be right ends the run before its search, with its causes and four pictures."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai import load_config, run
from slimai.app.float_pass.float_score import could_be
from slimai.app.screen.summary import run_summary
from slimai.errors import SlimaiError
from slimai.search.events import Silent

COMMON = ("+model=mobilenet_digits", "dataset.calibration_count=4", "metric.metric_cls=top1_5")


class Listening(Silent):
    """Keeps the warnings of a run."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def labels(tmp_path, repo_root):
    """Return a function that writes a label file made of the true labels."""
    lines = (repo_root / "examples/data/digits_cls/val.txt").read_text().split("\n")[1:]
    truth = [int(line.split()[1]) for line in lines if line]

    def write(change):
        path = tmp_path / "labels.txt"
        path.write_text("\n".join(str(change(at, label)) for at, label in enumerate(truth)) + "\n")
        return path

    return write


def start(tmp_path, cache_dir, *words, reporter=None):
    config = load_config(*COMMON, f"path.output_dir={tmp_path}/out", f"path.tmp_dir={cache_dir}", *words)
    return run(config, reporter=reporter)


def refused(tmp_path, cache_dir, *words):
    with pytest.raises(SlimaiError) as caught:
        start(tmp_path, cache_dir, *words)
    assert caught.value.exit_code == 1
    text = str(caught.value)
    assert "which cannot be right; likely causes: " in text
    assert f"{tmp_path}/out/report.html shows 4 of the pictures" in text
    assert text.endswith("metric.allow_low_float_score: true goes on")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('<img src="data:image/jpeg') == 4
    assert "Likely causes" in page
    assert not (tmp_path / "out" / "run.json").exists()
    return text


def test_exactly_zero(tmp_path, cache_dir, labels):
    # the class that the network thinks least likely: never the first
    path = labels(lambda _, label: (label + 1) % 10)
    words = (f"metric.metric_input={path}", "dataset.validation_count=20")
    text = refused(tmp_path, cache_dir, *words)
    assert "the float network scores exactly 0 on 20 images" in text
    assert "labels in another order than the network's classes, or moved by one (data_offset)" in text
    listening = Listening()
    result = start(tmp_path, cache_dir, *words, "metric.allow_low_float_score=true", reporter=listening)
    assert result.float_result.score == 0.0
    (told,) = listening.warnings
    assert "exactly 0 on 20 images, which cannot be right; it goes on as metric.allow_low_float_score says" in told
    assert run_summary(result).count(f"warning: {told}") == 1
    # nine images are too few to tell
    few = start(tmp_path, cache_dir, words[0], "dataset.validation_count=9")
    assert (few.float_result.score, few.best.images) == (0.0, 9)


def test_one_class_for_all(tmp_path, cache_dir):
    text = refused(tmp_path, cache_dir, "network.stddev=1e9", "dataset.validation_count=50")
    assert "for all 50 images, whose labels name 10" in text
    assert "network.mean" in text


def test_top_1_that_is_chance(tmp_path, cache_dir, labels):
    generator = np.random.default_rng(1)
    path = labels(lambda _at, _label: int(generator.integers(10)))
    words = (f"metric.metric_input={path}", "dataset.validation_count=100")
    text = refused(tmp_path, cache_dir, *words)
    assert "on 100 images is chance for 10 classes" in text


def test_a_low_score_that_can_be_right_warns_before_and_after(tmp_path, cache_dir, labels):
    generator = np.random.default_rng(1)
    path = labels(lambda _at, _label: int(generator.integers(10)))
    listening = Listening()
    result = start(
        tmp_path, cache_dir, f"metric.metric_input={path}", "dataset.validation_count=40", reporter=listening
    )
    (told,) = [text for text in listening.warnings if "scores only" in text]
    assert f"warning: {told}" in run_summary(result)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["best"]


@given(st.integers(1, 60), st.integers(2, 50), st.data())
def test_the_interval_is_the_exact_one(images, classes, data):
    hits = data.draw(st.integers(0, images))
    share = Fraction(1, classes)
    likely = [math.comb(images, k) * share**k * (1 - share) ** (images - k) for k in range(images + 1)]
    low, high = sum(likely[: hits + 1]), sum(likely[hits:])
    tail = Fraction(5, 1000)
    if min(abs(low - tail), abs(high - tail)) > Fraction(1, 10**9):
        assert could_be(hits, images, 1 / classes) == (low > tail and high > tail)


@pytest.mark.shared
@pytest.mark.slow
def test_a_weak_detector_is_weak_and_not_wrong(tmp_path, cache_dir, shared_data):
    config = load_config("+model=yolo_fastest_coco", f"path.output_dir={tmp_path}/out", f"path.tmp_dir={cache_dir}",
                         f"path.image_dir={shared_data}/datasets/coco_train128",
                         f"path.input_dir={shared_data}/models/onnx", "dataset.calibration_count=4",
                         "metric.metric_input.instances="
                         f"{shared_data}/datasets/coco_train128/annotations/instances_val100.json")  # fmt: skip
    listening = Listening()
    result = run(config, reporter=listening)
    assert result.float_result.score == pytest.approx(0.1727, abs=0.02)
    assert not result.warnings
