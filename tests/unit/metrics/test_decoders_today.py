"""GFL, YuNet, boxes decoded by the network, FastestDet: against decoders written cell by cell from the formulas."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.create import create_metric
from slimai.metrics.detection.detections import ClassTable
from slimai.metrics.detection.options import DetectionOptions, Head
from slimai.metrics.detection.postprocess import DECODERS, detect
from slimai.schema.detection_heads import HEADS, OWNED
from slimai.schema.metric_specs import DetectionInput, VocInput

SIZE = (96, 64)


def decode(head, outputs, **more):
    options = DetectionOptions(head=head, input_size=SIZE, **more)
    return DECODERS.get(head)(outputs, options, [f"o{at}" for at in range(len(outputs))])


def compare(found, expected):
    """Compare with (x1, y1, x2, y2, score, class), in any order; numbers within 1e-6 relative."""
    ours = sorted(
        (*box, score, label) for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True)
    )
    assert len(ours) == len(expected) > 0
    np.testing.assert_allclose(ours, sorted(expected), rtol=1e-6, atol=1e-6)


def sigmoid(value):
    return 1.0 / (1.0 + math.exp(-value))


def gfl_expected(scores, sides, strides, reg_max, offset, threshold):
    """scores, sides: of each stride [n, C] and [n, 4 * bins]."""
    found = []
    for stride, score, side in zip(strides, scores, sides, strict=True):
        columns = math.ceil(SIZE[0] / stride)
        for cell, (classes, numbers) in enumerate(zip(score.tolist(), side.tolist(), strict=True)):
            x, y = (cell % columns + offset) * stride, (cell // columns + offset) * stride
            lengths = []
            for part in range(4):
                bins = numbers[part * (reg_max + 1) : (part + 1) * (reg_max + 1)]
                grown = [math.exp(value) for value in bins]
                lengths.append(stride * sum(at * value for at, value in enumerate(grown)) / sum(grown))
            for label, value in enumerate(classes):
                if value > threshold:
                    found.append((x - lengths[0], y - lengths[1], x + lengths[2], y + lengths[3], value, label))
    return found


def gfl_maps(rng, strides, classes, reg_max):
    counts = [math.ceil(SIZE[0] / stride) * math.ceil(SIZE[1] / stride) for stride in strides]
    scores = [rng.uniform(size=(count, classes)).astype(np.float32) for count in counts]
    sides = [rng.normal(scale=2.0, size=(count, 4 * (reg_max + 1))).astype(np.float32) for count in counts]
    return scores, sides


@pytest.mark.parametrize(("strides", "reg_max", "offset", "classes"), [
    ((8, 16, 32), 7, 0.5, 3), ((8, 16, 32, 64), 7, 0.0, 5), ((16,), 15, 0.5, 1), ((8, 16), 4, 0.5, 20),
])  # fmt: skip
def test_gfl_heads_whole_apart_and_as_maps(strides, reg_max, offset, classes):
    rng = np.random.default_rng(len(strides))
    scores, sides = gfl_maps(rng, strides, classes, reg_max)
    expected = gfl_expected(scores, sides, strides, reg_max, offset, 0.7)
    more = {"strides": strides, "reg_max": reg_max, "cell_offset": offset, "threshold": 0.7}
    whole = np.concatenate([np.concatenate(pair, axis=1) for pair in zip(scores, sides, strict=True)])[None]
    compare(decode("gfl", [whole], **more), expected)
    rows = [item[None] for item in (*scores, *sides)]
    compare(decode("gfl", rows, **more), expected)
    interleaved = [item[None] for pair in zip(sides, scores, strict=True) for item in pair]
    if classes != 4 * (reg_max + 1):
        compare(decode("gfl", interleaved, **more), expected)
    maps = [
        item.T.reshape(1, -1, math.ceil(SIZE[1] / stride), math.ceil(SIZE[0] / stride))
        for kind in (scores, sides)
        for stride, item in zip(strides, kind, strict=True)
    ]
    compare(decode("gfl", maps, **more), expected)


def test_gfl_logits_want_a_sigmoid_and_are_not_taken_for_probabilities():
    scores, sides = gfl_maps(np.random.default_rng(0), (8, 16, 32), 2, 7)
    logits = [np.log(item / (1.0 - item)) for item in scores]
    expected = gfl_expected(scores, sides, (8, 16, 32), 7, 0.5, 0.9)
    outputs = [item[None] for item in (*logits, *sides)]
    compare(decode("gfl", outputs, threshold=0.9, logits=True), expected)
    with pytest.raises(InputError, match=r"output 'o0': a class score is no probability .*; add logits=True"):
        decode("gfl", outputs, threshold=0.9)


@pytest.mark.parametrize("order", ["kinds", "strides", "maps"])
def test_yunet(order):
    rng = np.random.default_rng(3)
    strides, parts, expected = (8, 16, 32), [], []
    for stride in strides:
        columns, lines = SIZE[0] // stride, SIZE[1] // stride
        cls, obj = (rng.uniform(-0.1, 1.1, size=(columns * lines, 1)) for _ in range(2))
        box, marks = rng.normal(size=(columns * lines, 4)), rng.normal(size=(columns * lines, 10))
        parts.append((cls, obj, box, marks))
        for cell, (a, b, numbers) in enumerate(zip(cls[:, 0], obj[:, 0], box.tolist(), strict=True)):
            score = math.sqrt(min(max(a, 0.0), 1.0) * min(max(b, 0.0), 1.0))
            x, y = (cell % columns + numbers[0]) * stride, (cell // columns + numbers[1]) * stride
            w, h = math.exp(numbers[2]) * stride, math.exp(numbers[3]) * stride
            if score > 0.6:
                expected.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, 0))
    if order == "maps":
        outputs = [
            item.T.reshape(1, -1, SIZE[1] // stride, SIZE[0] // stride)
            for stride, group in zip(strides, parts, strict=True)
            for item in group
        ]
    else:
        groups = parts if order == "strides" else zip(*parts, strict=True)
        outputs = [item[None] for group in groups for item in group]
    compare(decode("yunet", outputs, threshold=0.6), expected)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_facebox(center, classes):
    rng = np.random.default_rng(classes)
    boxes, scores = rng.uniform(0, 60, size=(1, 50, 4)), rng.uniform(size=(1, 50, classes))
    expected = []
    for (a, b, c, d), row in zip(boxes[0].tolist(), scores[0].tolist(), strict=True):
        corners = (a - c / 2, b - d / 2, a + c / 2, b + d / 2) if center else (a, b, c, d)
        expected += [(*corners, value, label) for label, value in enumerate(row) if value > 0.5]
    compare(decode("facebox", [boxes, scores], threshold=0.5, center=center), expected)
    if classes == 1:
        compare(decode("facebox", [boxes, scores[..., 0]], threshold=0.5, center=center), expected)


@pytest.mark.parametrize(("count", "classes", "last", "more"), [
    (200, 3, False, {}), (200, 3, True, {}), (6, 20, False, {"classes": 20}), (6, 20, True, {"classes": 20}),
    (6, 20, True, {"layout": "HWC"}), (24, 20, False, {"classes": 20}),
])  # fmt: skip
def test_decoded(count, classes, last, more):
    rng = np.random.default_rng(count)
    rows = np.concatenate([rng.uniform(0, 60, size=(count, 4)), rng.uniform(size=(count, classes))], axis=1)
    expected = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2, value, label)
        for x, y, w, h, *scores in rows.tolist()
        for label, value in enumerate(scores)
        if value > 0.8
    ]
    output = (rows if last else rows.T)[None]
    compare(decode("decoded", [output], threshold=0.8, center=True, **more), expected)


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_fastestdet(layout):
    rng = np.random.default_rng(5)
    lines, columns, classes, expected = 4, 6, 3, []
    head = rng.normal(size=(5 + classes, lines, columns))
    head[0], head[5:] = rng.uniform(size=(lines, columns)), rng.uniform(size=(classes, lines, columns))
    for line in range(lines):
        for column in range(columns):
            objectness, tx, ty, tw, th, *scores = head[:, line, column].tolist()
            best = max(scores)
            score = objectness**0.6 * best**0.4
            x, y = (column + math.tanh(tx)) / columns * SIZE[0], (line + math.tanh(ty)) / lines * SIZE[1]
            w, h = sigmoid(tw) * SIZE[0], sigmoid(th) * SIZE[1]
            if score > 0.5:
                expected.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, scores.index(best)))
    output = head if layout == "CHW" else np.moveaxis(head, 0, -1)
    compare(decode("fastestdet", [output[None]], threshold=0.5, layout=layout), expected)


def test_a_head_comes_back_to_the_picture():
    """Half a picture of twice the input's size: corners double."""
    boxes, scores = np.array([[[10.0, 12.0, 30.0, 40.0]]]), np.array([[0.9]])
    geometry = ImageGeometry((192, 128), SIZE, scale=(0.5, 0.5))
    sample = Sample(0, (), (), geometry)
    found = detect(sample, [boxes, scores], ["a", "b"], DetectionOptions(head="facebox"), ClassTable.voc(("face",)))
    assert found.boxes.tolist() == [[20.0, 24.0, 60.0, 80.0]]


def test_every_head_has_a_row_a_decoder_and_options_of_the_schema():
    assert set(HEADS) == set(get_args(Head)) == set(DECODERS)
    literal = next(part for part in get_args(DetectionInput.model_fields["custom_pp"].annotation) if get_args(part))
    assert set(get_args(literal)) == set(HEADS)
    assert set(OWNED) <= set(DetectionInput.model_fields)
    for name in HEADS:
        assert callable(DECODERS.get(name))


@pytest.mark.parametrize(("outputs", "shapes", "options", "message"), [
    (("x",), ((1, 130, 35),), {"custom_pp": "gfl"}, "output 'x': the head must be [1, 126, classes + 32]"),
    (("x",), ((1, 126, 34),), {"custom_pp": "gfl"}, "output 'x': the head has 2 classes"),
    (("x", "y"), ((1, 126, 1), (1, 126, 4)), {"custom_pp": "yunet"}, "the outputs must be class, objectness and box"),
    (("x", "y", "z"), ((1, 96, 1), (1, 96, 4), (1, 96, 1)), {"custom_pp": "yunet"},
     "output 'x': the head must be class, objectness [1, n, 1] and box [1, n, 4] for n = 96, 24, 6"),
    (("x", "y"), ((1, 50, 4), (1, 49)), {"custom_pp": "facebox"}, "output 'x': the head must be boxes [1, n, 4] and"),
    (("x",), ((1, 50, 4),), {"custom_pp": "facebox"}, "the outputs must be boxes, scores"),
    (("x",), ((1, 9, 200),), {"custom_pp": "decoded"}, "output 'x': the head has 5 classes"),
    (("x",), ((7, 9, 200),), {"custom_pp": "decoded"}, "output 'x': the head must be [1, 4 + classes, n]"),
    (("x",), ((1, 9, 4, 6),), {"custom_pp": "fastestdet"}, "output 'x': the head has 4 classes"),
])  # fmt: skip
def test_heads_that_do_not_fit(tmp_path, make_samples, make_context, write_voc, outputs, shapes, options, message):
    samples = make_samples(1)
    write_voc(tmp_path / "img0.xml", [("a", 1, 1, 9, 9)])
    context = make_context(outputs, samples, shapes=shapes)
    spec = VocInput(annotations=tmp_path, voc_labels=("a", "b", "c"), input_size=SIZE, **options)
    with pytest.raises(InputError) as caught:
        create_metric("voc_det_AP", spec, context)
    assert message in str(caught.value)
