"""coco_det_AP against pycocotools run on files: the 12 numbers are equal, of boxes and of masks."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import mask as codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from slimai.data.sample import ImageGeometry
from slimai.errors import InputError
from slimai.metrics.create import create_metric
from slimai.metrics.detection.coco import NUMBERS
from slimai.metrics.toolbox import Detections, best_first, coco_ap, coco_record, read_instances
from slimai.schema.metric_specs import CocoInput

CATEGORIES = (3, 7, 8, 20)
SIZE = (120, 90)


def random_files(rng, images=8, masks=False):
    """Return the instances mapping, and per image the answers (box x1 y1 x2 y2, score, class index from 1)."""
    annotations, answers = [], []
    for image in range(images):
        found = []
        for _ in range(rng.integers(0, 6)):
            w, h = rng.integers(4, 70, 2)
            x, y = rng.integers(0, SIZE[0] - w), rng.integers(0, SIZE[1] - h)
            label = int(rng.integers(len(CATEGORIES)))
            box = [float(x), float(y), float(w), float(h)]
            polygon = [[box[0], box[1], box[0] + w, box[1], box[0] + w, box[1] + h, box[0], box[1] + h]]
            crowd = int(rng.random() < 0.15)
            shape = {"size": [SIZE[1], SIZE[0]], "counts": uncompressed(box)} if crowd else polygon
            annotations.append(
                {"id": len(annotations) + 1, "image_id": 10 * image + 5, "category_id": CATEGORIES[label], "bbox": box,
                 "area": float(w * h) * (0.8 if masks else 1.0), "iscrowd": crowd, "segmentation": shape}
            )  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                jitter = rng.integers(-4, 5, 4)
                corners = np.array([x, y, x + w, y + h]) + jitter
                corners = np.clip(corners, 0, [*SIZE, *SIZE])
                if corners[2] - corners[0] > 1 and corners[3] - corners[1] > 1:
                    found.append((corners.tolist(), int(rng.integers(1, 15)) / 16, label + 1))  # with ties
        for _ in range(rng.integers(0, 4)):
            x, y = rng.integers(0, 80), rng.integers(0, 60)
            found.append(
                ([int(x), int(y), int(x) + 20, int(y) + 25], int(rng.integers(1, 15)) / 16, int(rng.integers(1, 5)))
            )
        answers.append(found)
    data = {
        "images": [
            {"id": 10 * at + 5, "file_name": f"folder/img{at}.png", "width": SIZE[0], "height": SIZE[1]}
            for at in range(images)
        ],
        "annotations": annotations,
        "categories": [{"id": identity, "name": f"c{identity}"} for identity in (20, 3, 8, 7)],
    }
    return data, answers


def uncompressed(box):
    plain = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    x, y, w, h = map(int, box)
    plain[y : y + h, x : x + w] = 1
    flat = plain.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    ends = [0, *edges.tolist()]
    counts = np.diff(ends).tolist()
    rest = len(flat) - sum(counts)
    return [*counts, rest] if rest else counts


def reference(tmp_path, results, kind, image_ids):
    (tmp_path / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "instances.json"))
        judge = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), kind)
        judge.params.imgIds = image_ids
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


@pytest.fixture
def build(tmp_path, make_samples, make_context):
    def make(data, count, outputs=("boxes", "scores", "classes"), context=None, **options):
        (tmp_path / "instances.json").write_text(json.dumps(data))
        samples = make_samples(count, geometry=ImageGeometry(SIZE, SIZE))
        options = {"classes": len(CATEGORIES), **options}
        spec = CocoInput(instances=tmp_path / "instances.json", **options)
        return create_metric("coco_det_AP", spec, make_context(outputs, samples, **(context or {}))), samples

    return make


def as_outputs(found):
    return [
        np.array([box for box, _, _ in found], np.float32).reshape(1, -1, 4),
        np.array([score for _, score, _ in found], np.float32).reshape(1, -1),
        np.array([label for _, _, label in found], np.float32).reshape(1, -1),
    ]


def as_results(answers):
    return [
        {"image_id": 10 * image + 5, "category_id": CATEGORIES[label - 1], "score": score,
         "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
        for image, found in enumerate(answers)
        for box, score, label in sorted(found, key=lambda entry: -entry[1])
    ]  # fmt: skip


def assert_equal(values, stats, prefix=""):
    for name, expected in zip(NUMBERS, stats, strict=True):
        if expected < 0:
            assert np.isnan(values[prefix + name])
        else:
            assert values[prefix + name] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_the_twelve_numbers_of_boxes(tmp_path, build, seed):
    data, answers = random_files(np.random.default_rng(seed))
    metric, samples = build(data, len(answers))
    records = [metric.measure(s, as_outputs(a), None) for s, a in zip(samples, answers, strict=True)]
    result = metric.combine(records[::-1])
    assert_equal(result.values, reference(tmp_path, as_results(answers), "bbox", [10 * at + 5 for at in range(8)]))
    assert result.value == result.score == result.values["AP"]
    part = metric.combine(records[2:5])
    assert_equal(part.values, reference(tmp_path, as_results(answers), "bbox", [25, 35, 45]))


@pytest.mark.parametrize("seed", range(4))
def test_the_twelve_numbers_of_masks(tmp_path, build, seed):
    data, answers = random_files(np.random.default_rng(seed), masks=True)
    answers = [sorted(found, key=lambda entry: -entry[1]) for found in answers]
    outputs = ("boxes", "scores", "classes", "masks")
    metric, samples = build(data, len(answers), outputs, context={"input_size": SIZE})
    records, results = [], []
    for image, (sample, found) in enumerate(zip(samples, answers, strict=True)):
        masks = np.zeros((1, len(found), SIZE[1], SIZE[0]), np.float32)
        for at, (box, score, label) in enumerate(found):
            masks[0, at, int(box[1]) : int(box[3]), int(box[0]) : int(box[2]) - 1] = 0.9
            code = codec.encode(np.asfortranarray((masks[0, at] > 0.5).astype(np.uint8)))
            results.append(
                {"image_id": 10 * image + 5, "category_id": CATEGORIES[label - 1], "score": score,
                 "segmentation": {"size": code["size"], "counts": code["counts"].decode()}}
            )  # fmt: skip
        records.append(metric.measure(sample, [*as_outputs(found), masks], None))
    result = metric.combine(records)
    images = [10 * at + 5 for at in range(8)]
    assert_equal(result.values, reference(tmp_path, results, "segm", images))
    assert_equal(result.values, reference(tmp_path, as_results(answers), "bbox", images), "bbox/")
    assert result.value == result.values["AP"]


def test_box_masks_are_pasted_into_their_box(build):
    data, _ = random_files(np.random.default_rng(0), images=1)
    data["annotations"] = [
        {"id": 0, "image_id": 5, "category_id": 3, "bbox": [20, 10, 40, 40], "area": 800.0, "iscrowd": 0,
         "segmentation": [[20, 10, 40, 10, 40, 50, 20, 50]]}
    ]  # fmt: skip
    metric, samples = build(data, 1, ("b", "s", "c", "m"), context={"input_size": SIZE})
    mask = np.zeros((1, 1, 28, 28), np.float32)
    mask[..., :14] = 1  # the left half of the box, which is the object
    result = metric.combine([metric.measure(samples[0], [*as_outputs([((20, 10, 60, 50), 0.9, 1)]), mask], None)])
    assert result.value == pytest.approx(1.0)


def test_masks_follow_the_letterbox(tmp_path, build, make_samples):
    data, _ = random_files(np.random.default_rng(0), images=1)
    data["annotations"] = [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [20, 10, 40, 40], "area": 1600.0, "iscrowd": 0,
         "segmentation": [[20, 10, 60, 10, 60, 50, 20, 50]]}
    ]  # fmt: skip
    metric, _ = build(data, 1, ("b", "s", "c", "m"), context={"input_size": (60, 60)})
    sample = make_samples(1, geometry=ImageGeometry(SIZE, (60, 60), (0.5, 0.5), (0.0, 7.0)))[0]
    mask = np.zeros((1, 1, 60, 60), np.float32)
    mask[0, 0, 12:32, 10:30] = 1
    result = metric.combine([metric.measure(sample, [*as_outputs([((10, 12, 30, 32), 0.9, 1)]), mask], None)])
    assert result.value == pytest.approx(1.0)
    assert result.values["bbox/AP"] == pytest.approx(1.0)


def test_perfect_and_empty_answers(build):
    data, _ = random_files(np.random.default_rng(5))
    for number, entry in enumerate(data["annotations"]):
        entry["iscrowd"], entry["id"] = 0, number  # ids from 0, which pycocotools alone takes for 'no match'
    metric, samples = build(data, 8)
    answers = [[] for _ in samples]
    for entry in data["annotations"]:
        x, y, w, h = entry["bbox"]
        answers[(entry["image_id"] - 5) // 10].append(
            ((x, y, x + w, y + h), 0.5, CATEGORIES.index(entry["category_id"]) + 1)
        )
    records = [metric.measure(s, as_outputs(a), None) for s, a in zip(samples, answers, strict=True)]
    assert metric.combine(records).score == pytest.approx(1.0, abs=1e-12)
    empty = metric.combine([metric.measure(s, as_outputs([]), None) for s in samples])
    assert (empty.value, empty.score) == (0.0, 0.0)


def test_nothing_is_printed(build, capsys):
    data, answers = random_files(np.random.default_rng(1))
    metric, samples = build(data, 8)
    metric.combine([metric.measure(s, as_outputs(a), None) for s, a in zip(samples, answers, strict=True)])
    assert capsys.readouterr() == ("", "")


def test_messages(tmp_path, build):
    data, _ = random_files(np.random.default_rng(1))
    with pytest.raises(InputError, match=r"the file has 4 categories, not 80; give its number of categories"):
        build(data, 8, classes=80)
    with pytest.raises(
        InputError, match=r"metric_input.ap: coco_det_AP has its own curve of 101 points \(got '11point'"
    ):
        build(data, 8, ap="11point")
    with pytest.raises(InputError) as caught:
        build(data, 10)
    assert str(caught.value).replace(str(tmp_path), "") == (
        "/instances.json: no entry for image 'img8.png'\n/instances.json: no entry for image 'img9.png'"
    )
    data["annotations"][0]["bbox"] = [1, 2, 3]
    data["annotations"][1]["category_id"] = 4
    with pytest.raises(InputError) as caught:
        build(data, 8)
    assert str(caught.value).replace(str(tmp_path), "").splitlines() == [
        "/instances.json: annotations[0]: bbox must be four numbers [x, y, width, height]",
        "/instances.json: annotations[1]: category_id 4 is not among the categories",
    ]
    with pytest.raises(InputError, match=r"an instances file has the lists images, annotations and categories"):
        build([], 1)


def test_images_are_found_by_label_or_number(tmp_path, build, make_samples, make_context):
    data, _ = random_files(np.random.default_rng(1), images=1)
    data["images"][0]["file_name"] = "another.png"
    (tmp_path / "instances.json").write_text(json.dumps(data))
    spec = CocoInput(instances=tmp_path / "instances.json", classes=4)
    create_metric("coco_det_AP", spec, make_context("bsc", make_samples(1, ["5"])))
    with pytest.raises(InputError, match=r"no entry for image 'img0\.png'"):
        create_metric("coco_det_AP", spec, make_context("bsc", make_samples(1)))


@pytest.mark.parametrize("seed", range(3))
def test_the_toolbox_gives_a_plug_in_the_same_numbers(tmp_path, make_samples, seed):
    data, answers = random_files(np.random.default_rng(seed))
    (tmp_path / "instances.json").write_text(json.dumps(data))
    instances = read_instances(tmp_path / "instances.json", len(CATEGORIES), make_samples(len(answers)))
    records = []
    for image, found in enumerate(answers):
        boxes = np.array([box for box, _, _ in found], np.float64).reshape(-1, 4)
        scores = np.array([score for _, score, _ in found], np.float64)
        classes = np.array([label - 1 for _, _, label in found], np.int64)
        order = best_first(scores)
        detections = Detections(boxes, scores, classes, np.arange(len(scores))).take(order)
        records.append(coco_record(detections, instances.objects[image]))
    values = coco_ap(records, len(CATEGORIES))
    assert_equal(values, reference(tmp_path, as_results(answers), "bbox", [10 * at + 5 for at in range(8)]))
