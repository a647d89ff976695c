"""Boxes, masks and classes are drawn where they are."""

from __future__ import annotations

import base64
import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from slimai.data.sample import ImageGeometry, Sample
from slimai.metrics.detection.detections import Detections
from slimai.report import pictures


def sample(tmp_path, size=(200, 100), **more):
    path = tmp_path / "a.png"
    Image.new("RGB", size, (10, 10, 10)).save(path)
    return Sample(0, (path,), **more)


def test_boxes_are_drawn_in_page_pixels_and_weak_ones_are_not(tmp_path):
    image = Image.new("RGB", (640, 320), (0, 0, 0))  # shown at half size
    boxes = np.array([[100.0, 60.0, 300.0, 260.0], [400, 100, 600, 300]])
    found = Detections(boxes, np.array([0.9, 0.1]), np.array([1, 0]), np.arange(2))
    shown, text = pictures.draw_boxes(image, found, ("cat", "dog"))
    pixels = np.asarray(shown)
    assert shown.size == (320, 160)
    color = np.array(pictures.class_color(2))
    assert (pixels[100, 50] == color).all()  # the left side, in its middle
    assert (pixels[130, 100] == color).all()  # the bottom
    assert not pixels[100, 100].any()  # inside
    assert not pixels[60:, 200:].any()  # the second box is too weak
    assert text == "1 box with a score of at least 0.25"


def test_masks_cover_their_pixels_and_class_zero_is_clear(tmp_path):
    picture = sample(tmp_path)
    classes = np.zeros((100, 200), np.uint8)
    classes[20:40, 50:90] = 3
    classes[60:80] = 255
    shown = np.asarray(pictures.overlay(pictures.picture_of(picture), classes, picture))
    expected = np.rint(10 * (1 - pictures.OVERLAY) + np.array(pictures.class_color(3)) * pictures.OVERLAY)
    assert (shown[30, 60] == expected).all()
    assert (shown[70, 60] == 10).all()
    changed = (shown != 10).any(axis=2)
    assert changed.sum() == 20 * 40


def test_a_letterboxed_map_comes_back_into_the_picture(tmp_path):
    geometry = ImageGeometry((200, 100), (64, 64), (0.32, 0.32), (0.0, 16.0))
    picture = sample(tmp_path, geometry=geometry)
    classes = np.zeros((64, 64), np.uint8)
    classes[:16] = 7  # padding: not in the picture
    classes[16:32, :32] = 2  # its upper left quarter
    shown = np.asarray(pictures.overlay(pictures.picture_of(picture), classes, picture))
    changed = (shown != 10).any(axis=2)
    assert changed[:50, :100].mean() > 0.98
    assert not changed[52:].any()
    assert not changed[:, 102:].any()


@pytest.mark.parametrize(("width", "factor"), [(640, 0.5), (320, 1.0), (200, 1.0), (32, 10.0), (100, 3.0), (1, 320.0)])
def test_sizes_on_the_page(width, factor):
    assert pictures.shown_scale(width) == factor


def test_best_classes_of_vectors_only():
    assert pictures.best_classes(np.array([[0.1, 0.7, 0.2]])) == "1: 0.7, 2: 0.2, 0: 0.1"
    assert pictures.best_classes(np.zeros((1, 3, 4))) == ""
    assert pictures.best_classes(np.zeros((1, 1))) == ""


def test_neighbouring_classes_differ_in_colour():
    colors = [np.array(pictures.class_color(index)) for index in range(30)]
    assert min(np.abs(a - b).max() for a, b in pairwise(colors)) > 60
    assert len({tuple(color) for color in colors}) == 30


def test_a_data_uri_is_the_picture(tmp_path):
    head, _, data = pictures.data_uri(Image.new("RGB", (40, 30), (200, 30, 30))).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (40, 30)
        assert np.abs(np.asarray(image, int) - [200, 30, 30]).max() <= 3


def test_arrays_that_are_no_pictures_have_none(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((49, 10), np.float32))
    assert pictures.picture_of(Sample(0, (path,))) is None
    np.save(path, np.zeros((8, 9, 3), np.uint8))
    assert pictures.picture_of(Sample(0, (path,))).size == (9, 8)


class Boxes:
    """A detector's metric whose labels hold one object."""

    class_names = ("cat", "dog")

    def detect(self, *_):
        return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def truth_boxes(self, _):
        return Detections(np.array([[10.0, 60.0, 90.0, 95.0]]), np.ones(1), np.array([1]), np.arange(1))


def test_the_truth_stands_beside_both_networks(tmp_path):
    found = pictures.pair(Boxes(), sample(tmp_path, (400, 200)), "why", ([], []))
    assert found.texts == ("0 boxes with a score of at least 0.25",) * 2
    assert found.truth[1] == "1 object"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.truth[0].partition(",")[2]))), np.int64)
    assert shown.shape == (160, 320, 3)
    color = np.array(pictures.class_color(2))
    assert np.abs(shown[60, 8] - color).max() < 40  # the left side; JPEG
    assert np.abs(shown[60, 40] - 10).max() < 40  # inside


def test_without_labels_there_is_no_truth(tmp_path):
    found = pictures.pair(object(), sample(tmp_path), "why", ([np.zeros((1, 3))], [np.zeros((1, 3))]))
    assert found.truth == ("", "")
