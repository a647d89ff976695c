from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slimai.data.resize import Placement, Resize, bilinear_without_antialias, half_up, place, resample


@settings(max_examples=150, deadline=None)
@given(
    source=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    channels=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_bilinear_cv2_equals_opencv(source, target, channels, seed):
    shape = (*source, channels) if channels else source
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    found = bilinear_without_antialias(pixels, target)
    wanted = cv2.resize(pixels, target, interpolation=cv2.INTER_LINEAR).reshape(found.shape)
    np.testing.assert_array_equal(found, wanted)


def test_bilinear_cv2_halving_equals_opencv():
    pixels = np.random.default_rng(1).integers(0, 256, (40, 64, 3)).astype(np.uint8)
    wanted = cv2.resize(pixels, (32, 20), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(bilinear_without_antialias(pixels, (32, 20)), wanted)


@pytest.mark.parametrize(
    ("resize", "original", "network", "expected"),
    [
        (Resize("stretch"), (100, 50), (30, 40), Placement((30, 40), (0, 0))),
        (Resize("letterbox"), (100, 50), (64, 64), Placement((64, 32), (0, 16))),
        (Resize("letterbox"), (50, 100), (65, 64), Placement((32, 64), (16, 0))),
        (Resize("letterbox", anchor="top_left"), (50, 100), (64, 64), Placement((32, 64), (0, 0))),
        (Resize("letterbox"), (1000, 1), (64, 64), Placement((64, 1), (0, 31))),
        (Resize("letterbox"), (64, 25), (32, 32), Placement((32, 13), (0, 9))),
        (Resize("center_crop", 256), (500, 375), (224, 224), Placement((341, 256), (-58, -16))),
        (Resize("center_crop", 256), (256, 341), (224, 224), Placement((256, 341), (-16, -58))),
        (Resize("center_crop"), (100, 50), (32, 32), Placement((64, 32), (-16, 0))),
        (Resize("center_crop"), (50, 100), (32, 16), Placement((32, 64), (0, -24))),
    ],
)
def test_places(resize, original, network, expected):
    assert place(resize, original, network) == expected


@given(
    original=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    network=st.tuples(st.integers(1, 1000), st.integers(1, 1000)),
)
def test_letterbox_fits_and_touches_a_border(original, network):
    found = place(Resize("letterbox"), original, network)
    free = [size - scaled for size, scaled in zip(network, found.scaled, strict=True)]
    assert min(free) == 0
    assert min(found.scaled) >= 1
    assert found.offset == (free[0] // 2, free[1] // 2)


@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_half_up(numerator, denominator):
    found = half_up(numerator, denominator)
    assert 2 * numerator - denominator < 2 * found * denominator <= 2 * numerator + denominator


@pytest.mark.parametrize(
    ("name", "filter_"), [("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC), ("nearest", Image.NEAREST)]
)
def test_other_interpolations_are_those_of_pillow(name, filter_):
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (37, 53, 3)).astype(np.uint8))
    np.testing.assert_array_equal(resample(image, (20, 60), name), np.asarray(image.resize((20, 60), filter_)))
