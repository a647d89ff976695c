"""What the shapes of outputs say about the head; shapes of published exports."""

from __future__ import annotations

import pytest

from slimai.metrics.detection.recognize import likely_heads

YUNET = [(1, n, c) for c in (1, 1, 4, 10) for n in (6400, 1600, 400)]
PICODET = [*((1, n, 80) for n in (1600, 400, 100, 25)), *((1, n, 32) for n in (1600, 400, 100, 25))]


@pytest.mark.parametrize(("shapes", "size", "first"), [
    (YUNET, (640, 640), "custom_pp=yunet, strides=[8;16;32]"),
    (PICODET, (320, 320), "custom_pp=gfl, strides=[8;16;32;64], reg_max=7: 80 classes"),
    ([(1, 2125, 112)], (320, 320), "custom_pp=gfl, strides=[8;16;32;64], reg_max=7: 80 classes"),
    ([(1, 3549, 85)], (416, 416), "custom_pp=gfl, strides=[8;16;32], reg_max=7: 53 classes"),
    ([(1, 22, 2100)], (320, 320), "custom_pp=yolov8: 18 classes"),
    ([(1, 255, 10, 10), (1, 255, 20, 20)], (320, 320), "custom_pp=yolo, layout=CHW: 3 anchors a scale, 80 classes"),
    ([(1, 13, 13, 125)], (416, 416), "custom_pp=yolo, layout=HWC: 5 anchors a scale, 20 classes"),
    ([(1, 85, 22, 22)], (352, 352), "custom_pp=yolo, layout=CHW: 5 anchors a scale, 12 classes"),
    ([(1, 300, 84)], (640, 640), "custom_pp=decoded: 80 classes, where the network decodes its boxes"),
    ([(1, 5456, 4), (1, 5456, 2)], (512, 512), "custom_pp=ssd with priors, or custom_pp=facebox: 2 columns of scores"),
    ([(1, 100, 4), (1, 100), (1, 100)], (300, 300), "no custom_pp: boxes, confidences, class indices"),
])  # fmt: skip
def test_published_heads(shapes, size, first):
    assert likely_heads(shapes, size)[0] == first


def test_every_possible_head_is_named():
    assert "custom_pp=yolox: 80 classes" in likely_heads([(1, 3549, 85)], (416, 416))
    assert "custom_pp=fastestdet, layout=CHW: 80 classes" in likely_heads([(1, 85, 22, 22)], (352, 352))
    maps = [(1, 85, 52, 52), (1, 85, 26, 26), (1, 85, 13, 13)]
    assert "custom_pp=yolox: 80 classes" in likely_heads(maps, (416, 416))


@pytest.mark.parametrize("shapes", [[(1, 1000)], [(1, 12, 360, 480)], [(1, 1, 256, 256)], [(7,)], [()], [(1, 3)]])
def test_other_networks_have_no_head(shapes):
    assert likely_heads(shapes, (224, 224)) == ()


def test_a_map_as_large_as_the_picture_is_no_head():
    assert likely_heads([(1, 12, 360, 480)], (480, 360)) == ()
