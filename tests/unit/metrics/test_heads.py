# ruff: noqa: E501
"""Options that do not fit the network are told before any picture is scored, all at once."""

from __future__ import annotations

import pytest

from slimai.errors import InputError
from slimai.metrics.create import create_metric
from slimai.schema.metric_specs import VocInput

YOLO = {"custom_pp": "yolo", "input_size": (64, 64), "anchors": (((10, 10), (20, 20)), ((5, 5), (7, 7)))}
TWO = ("a", "b", "c")


@pytest.fixture
def build(tmp_path, make_samples, make_context, write_voc):
    def make(outputs, shapes, objects=(("a", 1, 1, 9, 9),), **options):
        samples = make_samples(1)
        write_voc(tmp_path / "img0.xml", objects)
        context = make_context(outputs, samples, shapes=shapes)
        return create_metric("voc_det_AP", VocInput(annotations=tmp_path, **options), context)

    return make


def test_fitting_heads(build):
    build(("x", "y"), ((1, 16, 2, 2), (1, 16, 4, 4)), voc_labels=TWO, **YOLO)
    build(("x", "y"), ((1, 2, 2, 16), (1, 4, 4, 16)), voc_labels=TWO, layout="HWC", **YOLO)
    build(("x", "y"), ((1, 50, 2, 2), (1, 50, 4, 4)), [("cat", 1, 1, 9, 9)], data_offset=1, **YOLO)
    build(("x", "y"), ((1, 12, 2, 2), (1, 12, 4, 4)), [("person", 1, 1, 9, 9)], data_offset=15, **YOLO)
    build(("x",), ((1, 84, 8),), voc_labels=TWO, custom_pp="yolox", input_size=(64, 64))
    build(("x",), ((1, 7, 84),), voc_labels=TWO, custom_pp="yolov8", input_size=(64, 64))


@pytest.mark.parametrize(
    ("shapes", "options", "messages"),
    [
        (((1, 17, 2, 2), (1, 16, 4, 4)), {}, ["output 'x': 17 channels (layout CHW) are not 2 anchors x (5 + classes)"]),
        (((1, 2, 2, 16), (1, 4, 4, 16)), {}, ["output 'x': 2 channels (layout CHW)", "output 'y': 4 channels"]),
        (((1, 16, 2, 2), (1, 16)), {}, ["output 'y': a YOLO head has 4 dimensions, CHW after the batch (got (1, 16))"]),
        (((1, 18, 2, 2), (1, 16, 4, 4)), {},
         ["output 'x': the head has 4 classes, which with data_offset 0 do not fit the table; the table has 3 entries"]),
        (((1, 16, 2, 2), (1, 16, 4, 4)), {"data_offset": 1}, ["output 'x': the head has 3 classes", "output 'y': the head"]),
        (((1, 16, 2, 2), (1, 16, 4, 4)), {"anchors": YOLO["anchors"][:1]}, ["1 brackets of anchors for 2 outputs (x, y)"]),
        (((1, 16, 2, 2), (1, 16, 4, 4)), {"anchors": (), "input_size": None}, ["needs input_size", "needs anchors"]),
    ],
)  # fmt: skip
def test_heads_that_do_not_fit(build, shapes, options, messages):
    with pytest.raises(InputError) as caught:
        build(("x", "y"), shapes, voc_labels=TWO, **(YOLO | options))
    found = [str(item) for item in caught.value.diagnostics]
    assert len(found) == len(messages)
    for text, message in zip(found, messages, strict=True):
        assert message in text


def test_ssd_shapes_and_missing_priors(tmp_path, build):
    with pytest.raises(InputError, match=r"anchor.txt: the file of priors cannot be read: .*No such file"):
        build(("x", "y"), (), custom_pp="ssd", voc_labels=TWO)
    (tmp_path / "anchor.txt").write_text("0 0 8 8\n4 4 12 12\n0.1 0.2\n0.1 0.2\n")
    build(("x", "y"), ((1, 2, 4), (1, 2, 4)), custom_pp="ssd", voc_labels=TWO, data_offset=-1)
    with pytest.raises(InputError) as caught:
        build(("x", "y"), ((1, 3, 4), (1, 3, 4)), custom_pp="ssd", voc_labels=TWO, data_offset=-1)
    assert len(caught.value.diagnostics) == 2
    assert "output 'x': boxes of 2 priors must be [1, 2, 4] (got [1, 3, 4])" in str(caught.value)
    with pytest.raises(InputError, match=r"output 'y': the head has 4 classes, which with data_offset 0"):
        build(("x", "y"), ((1, 2, 4), (1, 2, 4)), custom_pp="ssd", voc_labels=TWO)


def test_a_table_of_another_size(build):
    with pytest.raises(InputError, match=r"output 'x': the head has 5 classes, which with data_offset 0 do not fit"):
        build(("x",), ((1, 9, 84),), custom_pp="yolov8", input_size=(64, 64), voc_labels=TWO)
