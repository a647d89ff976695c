"""Whatever a result depends on makes earlier results stale when it changes, and is told by name."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

import slimai
from slimai.app.api import load_config
from slimai.app.opening.content_keys import changed_parts, content_keys
from slimai.app.opening.open_job import prepare
from slimai.app.run.pipeline import run_job
from slimai.artifacts.journal import Journal

PLUGIN = """\
from metric import metric_register, custom_metric_base

@metric_register
class mine(custom_metric_base):
    def init_params(self, params):
        pass
    def load_and_analysis(self, blobsfile, imglist):
        return 0.5
    def accumulate_results(self, scores):
        return 0.5
"""


@pytest.fixture
def data(tmp_path, repo_root):
    """Return a folder with copies of networks, images and labels that a test may change."""
    for name in ("digits_cls", "digits_det", "models"):
        shutil.copytree(repo_root / "examples" / "data" / name, tmp_path / name)
    return tmp_path


def job_config(data, *words, model="mobilenet_digits", images="digits_cls", network="mobilenet_digits"):
    small = ("dataset.validation_count=4", "dataset.calibration_count=4")
    places = (f"path.image_dir={data / images}", f"network.input_model={data / 'models' / network}.onnx")
    return load_config(f"+model={model}", *small, *places, f"path.output_dir={data / 'out'}", *words)


def detection(data, *words):
    notes = f"metric.metric_input.annotations={data / 'digits_det' / 'annotations'}"
    return job_config(data, notes, *words, model="yolo", images="digits_det", network="yolo_digits")


def plugin(data, *words, monkeypatch):
    folder = data / "slimai_custom_metric" / "metric_plugin"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mine.py").exists():
        (folder / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(data)
    return job_config(data, "metric.metric_cls=mine", *words)


def repaint(path: Path) -> None:
    """Change one pixel of a picture."""
    with Image.open(path) as image:
        image.load()
        value = image.getpixel((3, 3))
        image.putpixel((3, 3), 255 - value if isinstance(value, int) else tuple(255 - item for item in value))
        image.save(path)


def change_weight(path: Path) -> None:
    """Change one weight of a network."""
    model = onnx.load(path)
    kernel = next(item for item in model.graph.initializer if len(item.dims) == 4)
    values = numpy_helper.to_array(kernel).copy()
    values.flat[0] += 0.5
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    onnx.save(model, path)


def relabel(path: Path) -> None:
    head, first, *rest = path.read_text().splitlines()
    name, label = first.split()
    path.write_text("\n".join([head, f"{name} {(int(label) + 1) % 10}", *rest]) + "\n")


CHANGES = {
    "quantization": (("quantization.range_mode=percentile",), None),
    "preprocessing": (("network.mean=120",), None),
    "target": (("target.arithmetic=gemmlowp",), None),
    "metric": (("metric.metric_cls=cosine",), None),
    "model": ((), lambda data: change_weight(data / "models" / "mobilenet_digits.onnx")),
    "validation images": ((), lambda data: repaint(data / "digits_cls" / "images" / "val_001.png")),
    "calibration images": ((), lambda data: repaint(data / "digits_cls" / "images" / "calib_001.png")),
    "labels": ((), lambda data: relabel(data / "digits_cls" / "val.txt")),
}
SCORE = ("preprocessing", "target", "metric", "model", "validation images", "labels")


def told(data, before, after):
    """Return what the run with the keys `after` says has changed since the run with the keys `before`."""
    journal = Journal(data / "journal.jsonl")
    journal.append({"parts": before.parts})
    return changed_parts(journal, after)


@pytest.mark.parametrize("part", CHANGES)
def test_a_change_is_named_and_makes_results_stale(data, part):
    words, change = CHANGES[part]
    before = content_keys(prepare(job_config(data)), {})
    if change is not None:
        change(data)
    after = content_keys(prepare(job_config(data, *words)), {})
    assert told(data, before, after) == [part]
    assert after.plan != before.plan
    assert (after.score != before.score) == (part in SCORE)


def test_the_version_counts(data, monkeypatch):
    before = content_keys(prepare(job_config(data)), {})
    monkeypatch.setattr(slimai, "__version__", "999.0")
    after = content_keys(prepare(job_config(data)), {})
    assert told(data, before, after) == ["slimai version"]
    assert after.score != before.score


def test_limits_edited_by_hand_count(data):
    job = prepare(job_config(data))
    before, after = content_keys(job, {}), content_keys(job, {"input": (-1.0, 1.0)})
    assert told(data, before, after) == ["edited limits"]
    assert (after.score, after.plan == before.plan) == (before.score, False)


def test_a_label_file_counts(data):
    before = content_keys(prepare(detection(data)), {})
    notes = data / "digits_det" / "annotations" / "val_001.xml"
    notes.write_text(notes.read_text().replace("<difficult>0", "<difficult>1") + "\n")
    after = content_keys(prepare(detection(data)), {})
    assert told(data, before, after) == ["labels"]
    assert after.score != before.score


def test_the_code_of_a_metric_plug_in_counts(data, monkeypatch):
    before = content_keys(prepare(plugin(data, monkeypatch=monkeypatch)), {})
    (data / "slimai_custom_metric" / "metric_plugin" / "mine.py").write_text(PLUGIN.replace("0.5", "0.25"))
    after = content_keys(prepare(plugin(data, monkeypatch=monkeypatch)), {})
    assert told(data, before, after) == ["metric"]
    assert after.score != before.score


@pytest.mark.parametrize(
    "words",
    [
        ("quantization.range=90:100:5", "quantization.accuracy_level=[0,1]"),
        ("smart_search.time_limit=9", "smart_search.seed=3"),
        ("metric.output_debug=1",),
    ],
)
def test_what_decides_no_score_changes_nothing(data, words):
    before, after = (content_keys(prepare(job_config(data, *more)), {}) for more in ((), words))
    assert told(data, before, after) == []
    assert after == before


class Lines:
    def __init__(self):
        self.lines = []

    @contextmanager
    def stage(self, title, total):  # noqa: ARG002
        yield self

    def advance(self, steps=1):
        pass

    def note(self, text):
        pass

    def line(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["validation images", "model", "quantization", "slimai version"])
def test_a_run_after_a_change_ends_as_a_fresh_one(data, part, monkeypatch):
    words, change = CHANGES.get(part, ((), None))
    run_job(job_config(data, "metric.metric_cls=cosine"))
    earlier = (data / "out" / "run.json").read_bytes()
    if change is not None:
        change(data)
    if part == "slimai version":
        monkeypatch.setattr(slimai, "__version__", "999.0")
    said = Lines()
    run_job(job_config(data, "metric.metric_cls=cosine", *words), reporter=said)
    again = json.loads((data / "out" / "run.json").read_text())
    place = data / "out.old-1"
    assert f"earlier results do not count: {part} changed; they are kept in {place}" in said.lines
    assert (place / "run.json").read_bytes() == earlier
    shutil.rmtree(data / "out")
    run_job(job_config(data, "metric.metric_cls=cosine", *words))
    assert json.loads((data / "out" / "run.json").read_text()) == again


@pytest.mark.slow
@pytest.mark.parametrize("resume", [True, False])
def test_without_resume_nothing_is_taken_over(data, resume):
    words = ("metric.metric_cls=cosine", "quantization.range=90:100:10", "smart_search.strategy=racing")
    run_job(job_config(data, *words))
    records = sorted((data / "out" / ".slimai" / "records").iterdir())
    before = [path.stat().st_mtime_ns for path in records]
    run = json.loads((data / "out" / "run.json").read_text())
    run_job(job_config(data, *words, f"smart_search.resume={str(resume).lower()}"))
    after = [path.stat().st_mtime_ns for path in records]
    assert len(records) == 2
    assert all((new > old) != resume for new, old in zip(after, before, strict=True))
    again = json.loads((data / "out" / "run.json").read_text())
    assert again["candidates"] == run["candidates"]
