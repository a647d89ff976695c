"""YOLO and SSD heads against OpenCV's Region and DetectionOutput layers; the layers are reached through ONNX nodes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.detection.decode_anchor_free import decode_yolov8, decode_yolox
from slimai.metrics.detection.decode_ssd import decode_ssd, read_priors
from slimai.metrics.detection.decode_yolo import decode_yolo
from slimai.metrics.detection.detections import ClassTable, Detections
from slimai.metrics.detection.nms import suppress
from slimai.metrics.detection.options import DetectionOptions, Priors
from slimai.metrics.detection.postprocess import detect

cv2 = pytest.importorskip("cv2")


def run_layer(kind, inputs, constants, attributes, output):
    node = helper.make_node(kind, [*inputs, *constants], ["out"], name=kind, **attributes)
    describe = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        kind,
        [describe(name, onnx.TensorProto.FLOAT, value.shape) for name, value in inputs.items()],
        [describe("out", onnx.TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    engine = [cv2.dnn.ENGINE_CLASSIC] if hasattr(cv2.dnn, "ENGINE_CLASSIC") else []
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8), *engine)
    for name, value in inputs.items():
        net.setInput(value, name)
    return net.forward()


def region(cells, anchors, classes, softmax):
    """cells: [h, w, anchors * (5 + classes)]; rows x, y, w, h (shares of the grid), objectness, scores."""
    height, width, channels = cells.shape
    attributes = {
        "thresh": 0.0, "nms_threshold": 0.0, "coords": 4, "classes": classes, "anchors": len(anchors),
        "logistic": 1 - softmax, "softmax": softmax,
    }  # fmt: skip
    blob = np.array(anchors, np.float32).reshape(1, -1)
    rows = height * width * len(anchors)
    return run_layer("Region", {"data": cells[None]}, {"anchors": blob}, attributes, (rows, channels // len(anchors)))


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_yolo_head_equals_the_region_layer(layout, version):
    rng = np.random.default_rng(0)
    height, width, classes = 5, 7, 4
    anchors = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0))
    cells = rng.normal(size=(height, width, 3 * (5 + classes))).astype(np.float32)
    stride = 16
    # the layer divides by the size of the grid, so anchors go in as shares of it
    table = region(cells, anchors, classes, int(version == "v2")).reshape(height, width, 3, 5 + classes)
    centre = table[..., :2] * [width * stride, height * stride]
    side = table[..., 2:4] * [width, height]
    head = cells[None] if layout == "HWC" else cells.transpose(2, 0, 1)[None]
    options = DetectionOptions(
        head="yolo", input_size=(width * stride, height * stride), layout=layout, anchors=(anchors,), yolo=version
    )
    found = decode_yolo([head], options, ["head"])
    scores = table[..., 5:]
    expected = []
    for which in range(3):
        for row in range(height):
            for column in range(width):
                x, y = centre[row, column, which]
                w, h = side[row, column, which]
                for label in range(classes):
                    if version == "v2" and label != scores[row, column, which].argmax():
                        continue
                    value = scores[row, column, which, label]
                    expected.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, value, label))
    expected = np.array(expected)
    np.testing.assert_array_equal(found.classes, expected[:, 5])
    np.testing.assert_allclose(found.boxes, expected[:, :4], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.scores, expected[:, 4], rtol=1e-5)


def test_heads_use_their_own_anchors():
    """Three scales: each box is the anchor's size where w and h are 0."""
    anchors = (((10.0, 11.0),), ((20.0, 21.0),), ((30.0, 31.0),))
    heads = []
    for size in (2, 4, 8):
        head = np.full((1, 6, size, size), -20.0, np.float32)
        head[0, 2:4] = 0.0
        head[0, 4:, 0, 0] = 20.0
        heads.append(head)
    options = DetectionOptions(head="yolo", input_size=(64, 64), layout="CHW", anchors=anchors, threshold=0.5)
    found = decode_yolo(heads, options, ["a", "b", "c"])
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    np.testing.assert_allclose(sides, [(10, 11), (20, 21), (30, 31)])


def random_ssd(rng, count=60, classes=4):
    centre, side = rng.uniform(20, 280, (count, 2)), rng.uniform(20, 80, (count, 2))
    corners = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
    offsets = rng.normal(size=(1, count, 4)).astype(np.float32)
    logits = rng.normal(size=(1, count, classes)) * 2
    shares = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)
    return corners, offsets, shares


@pytest.mark.parametrize("seed", range(4))
def test_ssd_equals_the_detection_output_layer(seed):
    corners, offsets, shares = random_ssd(np.random.default_rng(seed))
    count, classes = shares.shape[1:]
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (count, 1))
    inputs = {
        "loc": offsets.reshape(1, -1),
        "conf": shares.reshape(1, -1),
        "priors": np.stack([corners / 300, variances]).astype(np.float32).reshape(1, 2, -1),
    }
    attributes = {
        "num_classes": classes, "share_location": 1, "background_label_id": 0, "nms_threshold": 0.45, "top_k": 1000,
        "keep_top_k": 200, "code_type": 2, "confidence_threshold": 0.3, "clip": 0,
        "variance_encoded_in_target": 0,
    }  # fmt: skip
    rows = run_layer("DetectionOutput", inputs, {}, attributes, (1, 1, count, 7)).reshape(-1, 7)
    rows = rows[rows[:, 2] > 0]  # the layer fills its output up with zeros
    options = DetectionOptions(
        head="ssd", threshold=0.3, data_offset=-1, priors=Priors(corners, np.tile([0.1, 0.2], (count, 1)))
    )
    table = ClassTable(("a", "b", "c"), background=False)
    found = detect(Sample(0, ()), [offsets, shares], ["loc", "conf"], options, table)
    assert len(found) == len(rows) > 5
    order = np.lexsort((-rows[:, 2], rows[:, 1]))
    mine = np.lexsort((-found.scores, found.classes))
    np.testing.assert_array_equal(found.classes[mine] + 1, rows[order, 1])
    np.testing.assert_allclose(found.scores[mine], rows[order, 2], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[mine], rows[order, 3:] * 300, rtol=1e-4, atol=1e-2)


def test_ssd_yfirst_exchanges_the_offsets():
    corners, offsets, shares = random_ssd(np.random.default_rng(0))
    priors = Priors(corners, np.tile([0.1, 0.1, 0.2, 0.2], (len(corners), 1)))
    plain = decode_ssd([offsets, shares], DetectionOptions(head="ssd", priors=priors), ["l", "c"])
    turned = decode_ssd(
        [offsets[..., [1, 0, 3, 2]], shares], DetectionOptions(head="ssd", priors=priors, yfirst=True), ["l", "c"]
    )
    np.testing.assert_array_equal(plain.boxes, turned.boxes)


@pytest.mark.parametrize("seed", range(3))
def test_suppression_equals_opencv(seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 80, (300, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (300, 2))], axis=1)
    scores, classes = rng.random(300), rng.integers(0, 3, 300)
    found = suppress(Detections(boxes, scores, classes, np.arange(300)), 0.4, most=300)
    expected = []
    for label in range(3):
        mine = np.flatnonzero(classes == label)
        sides = np.concatenate([boxes[mine, :2], boxes[mine, 2:] - boxes[mine, :2]], axis=1)
        expected.extend(mine[cv2.dnn.NMSBoxes(sides.tolist(), scores[mine].tolist(), 0.0, 0.4)])
    assert sorted(found.rows.tolist()) == sorted(int(at) for at in expected)
    assert np.all(np.diff(found.scores) <= 0)


def test_yolox_cells():
    """Stride 8, 16, 32 in this order, rows before columns, against the formula written out."""
    size, classes = (64, 32), 2
    rng = np.random.default_rng(0)
    rows, expected = [], []
    for stride in (8, 16, 32):
        for row in range(size[1] // stride):
            for column in range(size[0] // stride):
                t = rng.normal(size=4)
                shares = rng.uniform(0.2, 1, 1 + classes)
                rows.append([*t, *shares])
                x, y = (t[0] + column) * stride, (t[1] + row) * stride
                w, h = np.exp(t[2]) * stride, np.exp(t[3]) * stride
                for label in range(classes):
                    score = shares[0] * shares[1 + label]
                    expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, label])
    table = np.array(expected)
    output = np.array(rows)[None]
    options = DetectionOptions(head="yolox", input_size=size)
    found = decode_yolox([output], options, ["out"])
    np.testing.assert_allclose(np.column_stack([found.boxes, found.scores, found.classes]), table, rtol=1e-12)
    heads, start = [], 0
    for stride in (8, 16, 32):
        shape = (size[1] // stride, size[0] // stride)
        part = output[0, start : start + shape[0] * shape[1]]
        heads.append(part.T.reshape(1, 5 + classes, *shape))
        start += len(part)
    apart = decode_yolox(heads, options, ["a", "b", "c"])
    np.testing.assert_array_equal(apart.boxes, found.boxes)
    with pytest.raises(InputError, match=r"output 'out': the head must be \[1, 42, 5 \+ classes\] at this input_size"):
        decode_yolox([output[:, :-1]], options, ["out"])


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_yolov8_rows(layout):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform(5, 60, (84, 4)), rng.random((84, 3))], axis=1)
    output = rows.T[None] if layout == "CHW" else rows[None]
    found = decode_yolov8(
        [output], DetectionOptions(head="yolov8", input_size=(64, 64), layout=layout, threshold=0.4), "o"
    )
    row, label = np.nonzero(rows[:, 4:] > 0.4)
    np.testing.assert_array_equal(found.classes, label)
    np.testing.assert_allclose(found.scores, rows[row, 4 + label], rtol=1e-12)
    x, y, w, h = rows[row, :4].T
    np.testing.assert_allclose(found.boxes, np.column_stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), rtol=1e-12)


def test_a_wild_output_stays_finite():
    head = np.zeros((1, 6, 2, 2), np.float32)
    head[0, 2:4] = 3e38
    head[0, 4:] = 3e38
    options = DetectionOptions(head="yolo", input_size=(64, 64), anchors=(((10.0, 10.0),),), layout="CHW")
    found = detect(Sample(0, ()), [head], ["h"], options, ClassTable(("a",), background=False))
    np.testing.assert_array_equal(found.boxes[0], [0, 0, 64, 64])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"anchor.txt: expected N lines of priors and then N lines of variances \(got 0\)"),
        ("1 2 3 4\n", r"expected N lines of priors and then N lines of variances \(got 1\)"),
        ("1 2 3\n.1 .2\n", r"anchor.txt:1: a prior has 4 numbers \(got 3\)"),
        ("1 2 3 4\n.1 .2 .3\n", r"anchor.txt:2: a line of variances has 2 or 4 numbers \(got 3\)"),
        ("1 2 3 x\n.1 .2\n", r"anchor.txt:1: a line of priors holds only numbers \(got '1 2 3 x'\)"),
        ("1 2 3 nan\n.1 .2\n", r"anchor.txt:1: a prior must be finite"),
        ("3 2 1 4\n.1 .2\n", r"anchor.txt:1: a prior without area"),
    ],
)
def test_mistakes_in_the_priors(tmp_path, text, message):
    (tmp_path / "anchor.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_priors(tmp_path / "anchor.txt")


def test_ssd_messages():
    corners, offsets, shares = random_ssd(np.random.default_rng(0))
    options = DetectionOptions(head="ssd", priors=Priors(corners, np.tile([0.1, 0.2], (60, 1))))
    with pytest.raises(
        InputError, match=r"output 'c': scores must be probabilities \(got 7.5\); the order is boxes, scor"
    ):
        decode_ssd([offsets, np.full_like(shares, 7.5)], options, ["l", "c"])
    with pytest.raises(InputError, match=r"output 'l': boxes must be \[1, 60, 4\]"):
        decode_ssd([shares[:, :30], shares], options, ["l", "c"])
