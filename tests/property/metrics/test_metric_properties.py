# ruff: noqa: E501
"""What holds of every detection, segmentation and label input."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.detection.ap import HIT, IGNORED, MISS, average_precision, match
from slimai.metrics.detection.boxes import devkit_iou, iou, to_corners, to_picture
from slimai.metrics.detection.decode_ssd import read_priors
from slimai.metrics.detection.detections import ClassTable, Detections
from slimai.metrics.detection.nms import limit_candidates, suppress
from slimai.metrics.detection.options import DetectionOptions
from slimai.metrics.detection.voc import Truth, VocAP
from slimai.metrics.labels.coco import read_instances
from slimai.metrics.labels.imagelist import class_numbers
from slimai.metrics.labels.masks import read_binary_mask, read_index_mask, read_picture
from slimai.metrics.labels.voc import read_voc
from slimai.metrics.segmentation import confusion, statistics

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
coordinate = st.integers(0, 60)
CLASSES = 3


@st.composite
def boxes(draw, least=0, most=8):
    count = draw(st.integers(least, most))
    low = draw(hnp.arrays(np.int64, (count, 2), elements=coordinate))
    side = draw(hnp.arrays(np.int64, (count, 2), elements=st.integers(1, 40)))
    return np.concatenate([low, low + side], axis=1).astype(np.float64)


@st.composite
def detections(draw, most=8):
    found = draw(boxes(most=most))
    count = len(found)
    scores = draw(st.lists(st.integers(1, 10_000), min_size=count, max_size=count, unique=True))
    classes = draw(hnp.arrays(np.int64, count, elements=st.integers(0, CLASSES - 1)))
    return Detections(found, np.array(scores, np.float64) / 10_000, classes, np.arange(count))


@st.composite
def truths(draw):
    found = draw(boxes(least=1))
    classes = draw(hnp.arrays(np.int64, len(found), elements=st.integers(0, CLASSES - 1)))
    return Truth(classes, found, np.zeros(len(found), np.bool_))


def outputs(found):
    return [found.boxes[None].astype(np.float64), found.scores[None], found.classes[None].astype(np.float64)]


def metric_of(objects):
    table = ClassTable(tuple("abc"), background=False)
    return VocAP(("b", "s", "c"), DetectionOptions(), table, dict(enumerate(objects)))


def samples(count):
    return [Sample(at, (Path(f"{at}.png"),)) for at in range(count)]


@quick
@given(boxes(), boxes())
def test_overlap_is_symmetric_and_bounded(one, other):
    for measure in (iou, devkit_iou):
        table = measure(one, other)
        assert np.all((table >= 0) & (table <= 1))
        np.testing.assert_array_equal(table, measure(other, one).T)
        np.testing.assert_array_equal(np.diag(measure(one, one)), np.ones(len(one)))


@quick
@given(boxes(), st.booleans(), st.booleans())
def test_box_formats_describe_one_box(corners, center, yfirst):
    stored = corners.copy()
    if center:
        stored = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    if yfirst:
        stored = stored[:, [1, 0, 3, 2]]
    np.testing.assert_array_equal(to_corners(stored, center=center, yfirst=yfirst), corners)


@quick
@given(boxes(), st.floats(0.25, 4), st.floats(0.25, 4), st.integers(-20, 20), st.integers(-20, 20))
def test_boxes_come_back_from_the_networks_input(corners, across, down, left, top):
    size = (int(corners[:, [0, 2]].max(initial=1)) + 1, int(corners[:, [1, 3]].max(initial=1)) + 1)
    geometry = ImageGeometry(size, (64, 64), (across, down), (float(left), float(top)))
    moved = corners * [across, down, across, down] + [left, top, left, top]
    np.testing.assert_allclose(to_picture(moved, geometry), corners, atol=1e-9)


@quick
@given(detections(most=20), st.floats(0, 1))
def test_suppression_leaves_no_overlap_and_drops_only_for_a_reason(found, threshold):
    kept = suppress(found, threshold)
    assert np.all(np.diff(kept.scores) <= 0)
    left = set(kept.rows.tolist())
    for at in range(len(found)):
        better = [k for k in left if found.classes[k] == found.classes[at] and found.scores[k] > found.scores[at]]
        overlaps = iou(found.boxes[at : at + 1], found.boxes[better])[0] if better else np.zeros(0)
        # the limit itself may fall on either side: a product is compared instead of a quotient
        clear = np.abs(overlaps - threshold) > 1e-12
        if at in left:
            assert not np.any(overlaps[clear] > threshold)
        else:
            assert np.any(overlaps > threshold - 1e-12)


@quick
@given(detections(most=20), st.integers(1, 5))
def test_candidates_are_limited_by_class(found, most):
    kept = limit_candidates(found, most)
    for label in range(CLASSES):
        best = np.sort(found.scores[found.classes == label])[::-1][:most]
        np.testing.assert_array_equal(np.sort(kept.scores[kept.classes == label])[::-1], best)


@quick
@given(st.lists(st.tuples(truths(), detections()), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_order_of_images_and_detections_changes_nothing(cases, random):
    """Scores differ between the images, as ties keep the order of the list."""
    spread = [
        (truth, Detections(found.boxes, found.scores / 2 + at / 64, found.classes, found.rows))
        for at, (truth, found) in enumerate(cases)
    ]
    scores = np.concatenate([found.scores for _, found in spread])
    if len(np.unique(scores)) < len(scores):
        return
    plain = score(spread)
    turned = random.sample(spread, len(spread))
    mixed = [
        (truth, found.take(np.array(random.sample(range(len(found)), len(found)), int))) for truth, found in turned
    ]
    assert score(mixed) == plain


def score(cases):
    metric = metric_of([truth for truth, _ in cases])
    records = [
        metric.measure(s, outputs(found), None) for s, (_, found) in zip(samples(len(cases)), cases, strict=True)
    ]
    return metric.combine(records).values


@quick
@given(st.lists(truths(), min_size=1, max_size=4))
def test_perfect_answers_score_one_and_none_zero_without_a_warning(objects):
    distinct = [truth for truth in objects if devkit_iou(truth.boxes, truth.boxes).sum() == len(truth.boxes)]
    if not distinct:
        return
    metric = metric_of(distinct)
    perfect, empty = [], []
    for sample, truth in zip(samples(len(distinct)), distinct, strict=True):
        found = Detections(truth.boxes, np.full(len(truth.boxes), 0.5), truth.classes, np.arange(len(truth.boxes)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            perfect.append(metric.measure(sample, outputs(found), None))
            empty.append(metric.measure(sample, outputs(found.take(np.zeros(0, int))), None))
    assert metric.combine(perfect).score == 1.0
    assert metric.combine(empty).score == 0.0


@quick
@given(boxes(), boxes(), st.data())
def test_an_object_is_hit_at_most_once(found, objects, data):
    difficult = data.draw(hnp.arrays(np.bool_, len(objects)))
    outcome = match(found, objects, difficult)
    assert np.count_nonzero(outcome == HIT) <= np.count_nonzero(~difficult)
    assert set(outcome.tolist()) <= {HIT, MISS, IGNORED}


@quick
@given(hnp.arrays(np.int8, st.integers(0, 30), elements=st.sampled_from([HIT, MISS, IGNORED])), st.integers(0, 10))
def test_average_precision_is_bounded_and_better_with_a_better_order(outcome, more):
    objects = max(1, int(np.count_nonzero(outcome == HIT)) + more)
    best = np.sort(outcome)[::-1]
    for how in ("area", "11point"):
        value = average_precision(outcome, objects, how)
        assert 0.0 <= value <= average_precision(best, objects, how) + 1e-12 <= 1.0 + 2e-12


@quick
@given(hnp.arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, 255])), st.data())
def test_confusion_counts_every_counted_pixel_once(truth, data):
    found = data.draw(hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 3)))
    cells, counts = confusion(truth, found)
    assert counts.sum() == np.count_nonzero(truth != 255)
    matrix = np.zeros(256 * 256, np.int64)
    matrix[cells] = counts
    values = statistics(matrix.reshape(256, 256))
    if counts.sum():
        assert all(0 <= value <= 1 for value in values.values())
        assert values["PxAcc"] == np.mean((truth == found)[truth != 255])
    perfect = np.zeros(256 * 256, np.int64)
    same, number = confusion(truth, truth)
    perfect[same] = number
    if number.sum():
        assert set(statistics(perfect.reshape(256, 256)).values()) == {1.0}


@quick
@given(st.binary(max_size=400))
@example(b"<annotation><object><name>a</name></object></annotation>")
@example(b"<annotation><object><name>a</name><bndbox><xmin>1</xmin></bndbox></object></annotation>")
@example(b'<?xml version="1.0" encoding="nonsense"?><a/>')
@example(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
def test_any_bytes_as_label_files(tmp_path, data):
    file = tmp_path / "label"
    file.write_bytes(data)
    array = tmp_path / "label.npy"
    array.write_bytes(b"\x93NUMPY" + data)
    readers = [
        (read_voc, (file,)),
        (read_priors, (file,)),
        (read_index_mask, (file,)),
        (read_index_mask, (array,)),
        (read_binary_mask, (file, 0.5)),
        (read_picture, (array,)),
        (read_instances, (file, 1, samples(1))),
        (class_numbers, (samples(1), file, 10)),
    ]
    for reader, arguments in readers:
        try:
            reader(*arguments)
        except InputError as error:
            assert str(error)  # noqa: PT017


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["id", "image_id", "category_id", "bbox", "area", "iscrowd", "file_name", "width", "height", "name"]),
        inner,
        max_size=6,
    ),
    max_leaves=12,
)  # fmt: skip


@quick
@given(
    st.fixed_dictionaries({key: st.lists(json_values, max_size=3) for key in ("images", "annotations", "categories")})
)
def test_any_instances_mapping(tmp_path, data):
    import json

    file = tmp_path / "i.json"
    file.write_text(json.dumps(data))
    try:
        read_instances(file, 1, samples(1))
    except InputError as error:
        assert str(error)  # noqa: PT017
