"""voc_det_AP against a second implementation written from VOCevaldet.m / VOCap.m, and against pycocotools."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError, SlimaiError
from slimai.metrics.create import create_metric
from slimai.metrics.scores import resampled_scores
from slimai.schema.metric_specs import VocInput

NAMES = ("ant", "bee", "cow")


def devkit_overlap(a, b):
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[2], b[2]), min(a[3], b[3])
    wide, high = right - left + 1, bottom - top + 1
    if wide <= 0 or high <= 0:
        return 0.0
    union = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - wide * high
    return wide * high / union


def devkit_ap(detections, objects, eleven):
    """detections: (score, image, box) of one class in input order; objects: image -> list of (box, difficult)."""
    positives = sum(not difficult for boxes in objects.values() for _, difficult in boxes)
    used = {image: [False] * len(boxes) for image, boxes in objects.items()}
    recalls, precisions, hits, alarms = [], [], 0, 0
    for _, image, box in sorted(detections, key=lambda entry: -entry[0]):
        best, place = -1.0, None
        for at, (truth, _) in enumerate(objects.get(image, [])):
            overlap = devkit_overlap(box, truth)
            if overlap > best:
                best, place = overlap, at
        if place is not None and best >= 0.5:
            if objects[image][place][1]:
                continue
            if used[image][place]:
                alarms += 1
            else:
                used[image][place] = True
                hits += 1
        else:
            alarms += 1
        recalls.append(Fraction(hits, positives))
        precisions.append(Fraction(hits, hits + alarms))
    if eleven:
        total = Fraction(0)
        for step in range(11):
            total += max(
                [p for r, p in zip(recalls, precisions, strict=True) if r >= Fraction(step, 10)], default=Fraction(0)
            )
        return total / 11
    recalls, precisions = [Fraction(0), *recalls, Fraction(1)], [Fraction(0), *precisions, Fraction(0)]
    for at in range(len(precisions) - 2, -1, -1):
        precisions[at] = max(precisions[at], precisions[at + 1])
    return sum(((recalls[at] - recalls[at - 1]) * precisions[at] for at in range(1, len(recalls))), start=Fraction(0))


def random_case(rng, images=12):
    truths, answers = [], []
    for _ in range(images):
        objects = []
        for _ in range(rng.integers(0, 5)):
            x, y, w, h = rng.integers(0, 60, 2).tolist() + rng.integers(8, 35, 2).tolist()
            objects.append((NAMES[rng.integers(3)], x, y, min(x + w, 99), min(y + h, 79), int(rng.random() < 0.2)))
        found = []
        for name, *box, _ in objects:
            for _ in range(rng.integers(0, 3)):  # also duplicates
                moved = np.clip(np.array(box) + rng.integers(-5, 6, 4), 0, [99, 79, 99, 79]).tolist()
                if moved[2] > moved[0] and moved[3] > moved[1]:
                    found.append((moved, rng.integers(1, 12) / 12, NAMES.index(name)))  # with ties
        for _ in range(rng.integers(0, 3)):
            x, y = rng.integers(0, 60, 2).tolist()
            found.append(([x, y, x + 15, y + 15], rng.integers(1, 12) / 12, int(rng.integers(3))))
        truths.append(objects)
        answers.append(found)
    return truths, answers


def as_outputs(found):
    boxes = np.array([box for box, _, _ in found], np.float32).reshape(1, -1, 4)
    scores = np.array([score for _, score, _ in found], np.float32).reshape(1, -1)
    classes = np.array([label for _, _, label in found], np.float32).reshape(1, -1)
    return [boxes, scores, classes]


@pytest.fixture
def build(tmp_path, make_samples, make_context, write_voc):
    def make(truths, names=NAMES, outputs=("boxes", "scores", "classes"), geometry=None, context=None, **options):
        samples = make_samples(len(truths), geometry=geometry)
        for sample, objects in zip(samples, truths, strict=True):
            write_voc(tmp_path / "xml" / f"{sample.stem}.xml", objects)
        spec = VocInput(annotations=tmp_path / "xml", voc_labels=names, **options)
        return create_metric("voc_det_AP", spec, make_context(outputs, samples, **(context or {}))), samples

    return make


def score(metric, samples, answers):
    return metric.combine([metric.measure(s, as_outputs(a), None) for s, a in zip(samples, answers, strict=True)])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("how", ["area", "11point"])
def test_equals_the_devkit(build, seed, how):
    truths, answers = random_case(np.random.default_rng(seed))
    metric, samples = build(truths, ap=how)
    result = score(metric, samples, answers)
    expected = []
    for at, name in enumerate(NAMES):
        objects = {i: [(o[1:5], bool(o[5])) for o in objs if o[0] == name] for i, objs in enumerate(truths)}
        if not any(not difficult for boxes in objects.values() for _, difficult in boxes):
            assert f"AP/{name}" not in result.values
            continue
        found = []
        for i, answer in enumerate(answers):
            mine = [(float(np.float32(s)), i, box) for box, s, label in answer if label == at]
            found.extend(sorted(mine, key=lambda entry: -entry[0]))
        ap = devkit_ap(found, objects, how == "11point")
        assert result.values[f"AP/{name}"] == pytest.approx(float(ap), abs=1e-12)
        expected.append(ap)
    assert result.value == pytest.approx(float(sum(expected) / len(expected)), abs=1e-12)
    assert result.score == result.value


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_pycocotools_where_the_definitions_meet(build, seed):
    """No difficult objects, no ties, well separated boxes; COCO's side is one pixel longer, its curve 101 points."""
    rng = np.random.default_rng(seed)
    truths, answers, gts, dts = [], [], [], []
    for image in range(60):
        objects, found = [], []
        for column in range(3):
            name = int(rng.integers(3))
            x, y, w, h = 33 * column + 2, int(rng.integers(2, 20)), int(rng.integers(15, 28)), int(rng.integers(15, 50))
            objects.append((NAMES[name], x, y, x + w, y + h))
            gts.append(
                {"id": len(gts) + 1, "image_id": image, "category_id": name + 1, "bbox": [x, y, w + 1, h + 1],
                 "area": (w + 1) * (h + 1), "iscrowd": 0}
            )  # fmt: skip
            kind = rng.random()
            if kind < 0.7:  # a hit of IoU well above 0.5, else far below
                box = [x + 1, y, x + w, y + h]
            elif kind < 0.85:
                box = [x + 1, y, x + max(2, w // 4), y + h // 3]
            else:
                continue
            confidence = rng.random()
            found.append((box, confidence, name))
            dts.append(
                {"image_id": image, "category_id": name + 1, "score": float(np.float32(confidence)),
                 "bbox": [box[0], box[1], box[2] - box[0] + 1, box[3] - box[1] + 1]}
            )  # fmt: skip
        truths.append(objects)
        answers.append(found)
    metric, samples = build(truths)
    result = score(metric, samples, answers)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": at} for at in range(60)],
            "annotations": gts,
            "categories": [{"id": at + 1} for at in range(3)],
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(dts), "bbox")
        judge.params.iouThrs = np.array([0.5])
        judge.evaluate()
        judge.accumulate()
    # the 101-point mean differs from the area under the curve by at most one step of recall
    assert result.value == pytest.approx(judge.eval["precision"][0, :, :, 0, -1].mean(), abs=0.01)


def test_perfect_answers_score_one_and_none_scores_zero(build):
    truths = [[("ant", 1, 2, 30, 40)], [("bee", 5, 5, 50, 50), ("ant", 60, 10, 90, 70)]]
    metric, samples = build(truths)
    perfect = [[(list(o[1:5]), 0.9, NAMES.index(o[0])) for o in objects] for objects in truths]
    assert score(metric, samples, perfect).score == 1.0
    nothing = score(metric, samples, [[], []])
    assert (nothing.value, nothing.score) == (0.0, 0.0)


def test_order_of_records_and_of_detections_changes_nothing(build):
    truths, answers = random_case(np.random.default_rng(3))
    rng = np.random.default_rng(4)
    answers = [[(box, rng.random(), label) for box, _, label in found] for found in answers]
    metric, samples = build(truths)
    plain = score(metric, samples, answers)
    shuffled = [[found[at] for at in rng.permutation(len(found))] for found in answers]
    records = [metric.measure(s, as_outputs(a), None) for s, a in zip(samples, shuffled, strict=True)]
    assert metric.combine([records[at] for at in rng.permutation(len(records))]) == plain


@pytest.mark.parametrize(
    ("center", "yfirst", "box"),
    [
        (False, False, (10, 20, 40, 60)),
        (False, True, (20, 10, 60, 40)),
        (True, False, (25, 40, 30, 40)),
        (True, True, (40, 25, 40, 30)),
    ],
)
def test_box_formats(build, center, yfirst, box):
    metric, samples = build([[("ant", 10, 20, 40, 60)]], center=center, yfirst=yfirst)
    found = metric.detect(samples[0], as_outputs([(box, 0.9, 0)]))
    np.testing.assert_allclose(found.boxes, [[10, 20, 40, 60]], atol=0)


def test_threshold_keeps_only_what_is_above(build):
    metric, samples = build([[("ant", 10, 20, 40, 60)]], threshold=0.5)
    answer = [((10, 20, 40, 60), 0.5, 0), ((10, 20, 40, 60), 0.75, 0)]
    assert metric.detect(samples[0], as_outputs(answer)).scores.tolist() == [0.75]


@pytest.mark.parametrize(
    "options",
    [
        {"scale_width": 100, "scale_height": 80},
        {"scale_width": 3, "scale_height": 5, "div_width": 0.01, "div_height": 0.0125},
    ],
)
def test_scales_and_divisors(build, options):
    metric, samples = build([[("ant", 10, 20, 40, 60)]], **options)
    found = metric.detect(samples[0], as_outputs([((0.1, 0.25, 0.4, 0.75), 0.9, 0)]))
    np.testing.assert_allclose(found.boxes, [[10, 20, 40, 60]], rtol=1e-6)


def test_boxes_go_back_through_the_resize_and_are_clipped(build):
    geometry = ImageGeometry((200, 100), (64, 64), (0.32, 0.32), (0.0, 16.0))
    metric, samples = build([[("ant", 10, 20, 40, 60)]], geometry=geometry)
    found = metric.detect(samples[0], as_outputs([((3.2, 19.2, 32, 64), 0.9, 0)]))
    np.testing.assert_allclose(found.boxes, [[10, 10, 100, 100]], rtol=1e-6)


def test_default_table_has_background_and_alphabetical_names(build):
    metric, samples = build([[("bicycle", 10, 20, 40, 60), ("tvmonitor", 1, 1, 9, 9)]], names=())
    answer = [((10, 20, 40, 60), 0.9, 2), ((1, 1, 9, 9), 0.8, 20), ((0, 0, 5, 5), 0.99, 0), ((0, 0, 5, 5), 0.99, -1)]
    found = metric.detect(samples[0], as_outputs(answer))
    assert [metric.class_names[at] for at in found.classes] == ["bicycle", "tvmonitor"]
    shifted, _ = build([[("bicycle", 10, 20, 40, 60)]], names=(), data_offset=1)
    assert shifted.detect(samples[0], as_outputs([((10, 20, 40, 60), 0.9, 1)])).classes.tolist() == [1]


def test_class_beyond_the_table_is_an_error(build):
    metric, samples = build([[("ant", 10, 20, 40, 60)]])
    with pytest.raises(InputError) as caught:
        metric.detect(samples[0], as_outputs([((1, 1, 9, 9), 0.8, 3)]))
    assert str(caught.value) == (
        "output 'classes': class index beyond the table of 3 entries (ant .. cow) (got 3); "
        "check data_offset and the class names"
    )


def test_at_most_200_boxes_an_image(build):
    metric, samples = build([[("ant", 10, 20, 40, 60)]])
    answer = [((at % 90, 1, at % 90 + 9, 9), at / 512, at % 3) for at in range(1, 300)]
    found = metric.detect(samples[0], as_outputs(answer))
    assert len(found) == 200
    assert found.scores[0] == np.float32(299 / 512)


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, "inf")])
def test_values_that_are_not_finite_name_image_and_output(build, value, text):
    metric, samples = build([[("ant", 10, 20, 40, 60)]])
    outputs = as_outputs([((1, 1, 9, 9), 0.8, 0)])
    outputs[1][0, 0] = value
    with pytest.raises(SlimaiError) as caught:
        metric.measure(samples[0], outputs, None)
    assert "img0.png" in str(caught.value)
    assert f"output 'scores': 1 of 1 values are not finite (got {text})" in str(caught.value)


def test_all_missing_and_wrong_annotations_at_once(tmp_path, make_samples, make_context, write_voc):
    samples = make_samples(4)
    write_voc(tmp_path / "xml/img0.xml", [("ant", 1, 1, 5, 5)])
    (tmp_path / "xml/img2.xml").write_text("<annotation><object>")
    with pytest.raises(InputError) as caught:
        create_metric("voc_det_AP", VocInput(annotations=tmp_path / "xml"), make_context(("b", "s", "c"), samples))
    assert [str(item).replace(str(tmp_path), "") for item in caught.value.diagnostics] == [
        "/xml/img1.xml: no annotation for image 'img1.png'",
        "/xml/img2.xml: not a well-formed xml annotation: no element found: line 1, column 20",
        "/xml/img3.xml: no annotation for image 'img3.png'",
    ]


def test_annotations_without_a_known_class(build):
    with pytest.raises(InputError, match=r"no annotation holds an object of the 3 classes; 'at' is unknown; did you"):
        build([[("at", 1, 1, 5, 5)]])


def test_spaces_in_names_are_underscores_in_voc_labels(build):
    metric, samples = build([[("traffic light", 10, 20, 40, 60)]], names=("traffic_light",))
    assert score(metric, samples, [[((10, 20, 40, 60), 0.9, 0)]]).score == 1.0


def test_unknown_names_are_logged_and_not_scored(build, caplog):
    metric, samples = build([[("ant", 10, 20, 40, 60), ("dog", 1, 1, 5, 5)]])
    assert "not in the class table are not scored: dog (1)" in caplog.text
    assert score(metric, samples, [[((10, 20, 40, 60), 0.9, 0)]]).score == 1.0


def test_three_outputs_are_needed(build):
    with pytest.raises(InputError, match="the outputs must be boxes, confidences, class indices"):
        build([[("ant", 1, 1, 5, 5)]], outputs=("boxes",))


def test_outputs_in_the_wrong_order(build):
    metric, samples = build([[("ant", 1, 1, 5, 5)]])
    boxes, scores, classes = as_outputs([((1, 1, 9, 9), 0.8, 0)])
    with pytest.raises(InputError, match=r"output 'boxes': 4 confidences in 'scores' ask for 16 numbers here"):
        metric.measure(samples[0], [scores, boxes, classes], None)


def test_a_subset_without_objects_has_no_score(build):
    metric, samples = build([[("ant", 1, 1, 5, 5)], []])
    result = metric.combine([metric.measure(samples[1], as_outputs([]), None)])
    assert np.isnan(result.value)
    assert result.score is None


def test_labels_of_the_list_name_the_annotation(tmp_path, make_context, write_voc):
    write_voc(tmp_path / "xml/other.xml", [("ant", 1, 1, 5, 5)])
    sample = Sample(0, (tmp_path / "a.png",), ("labels/other.xml",))
    spec = VocInput(annotations=tmp_path / "xml", voc_labels=NAMES)
    metric = create_metric("voc_det_AP", spec, make_context(("b", "s", "c"), [sample]))
    assert score(metric, [sample], [[((1, 1, 5, 5), 0.9, 0)]]).score == 1.0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("how", ["area", "11point"])
def test_resampled_scores_are_those_of_repeated_pictures(build, seed, how):
    rng = np.random.default_rng(seed)
    truths, answers = random_case(rng)
    answers = [[(box, rng.random(), label) for box, _, label in found] for found in answers]  # no ties in a picture
    metric, samples = build(truths, ap=how)
    records = [metric.measure(s, as_outputs(a), None) for s, a in zip(samples, answers, strict=True)]
    shuffled = [records[at] for at in rng.permutation(len(records))]
    draws = np.array([rng.integers(0, size, len(records)) for size in (2, 3, 6, 12, 12)])
    truth = [metric.combine([shuffled[at] for at in draw]).value for draw in draws]
    np.testing.assert_allclose(resampled_scores(metric, shuffled, draws), truth, rtol=0, atol=1e-12)


def test_a_resampled_set_without_objects_has_no_score(build):
    metric, samples = build([[("ant", 1, 2, 30, 40)], []])
    records = [metric.measure(sample, as_outputs([]), None) for sample in samples]
    found = metric.resampled_scores(records, np.array([[1, 1], [0, 2]]))
    assert found[0] == 0.0
    assert np.isnan(found[1])
