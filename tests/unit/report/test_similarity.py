"""Cosine and SQNR against scikit-learn, scikit-image and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio
from sklearn.metrics.pairwise import cosine_similarity

from slimai.quantizer.params import S8, QParams
from slimai.report.decibels import decibel
from slimai.report.similarity import Likeness, compare_image, cosine, finite_ratio, flat


def test_cosine_is_scikit_learns():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(5, 4, 6, 7)).astype(np.float32)
    found = rng.integers(-128, 128, truth.shape).astype(np.int8)
    params = QParams(S8, 0.02)
    likeness = Likeness()
    for a, b in zip(truth, found, strict=True):
        likeness.add(compare_image(a, b, params))
    real = params.dequantize(found)
    expected = [
        cosine_similarity(a.reshape(1, -1).astype(np.float64), b.reshape(1, -1).astype(np.float64))[0, 0]
        for a, b in zip(truth, real, strict=True)
    ]
    assert likeness.cosine == pytest.approx(np.mean(expected), abs=1e-7)  # real values are float32 there


def test_sqnr_is_scikit_images_psnr_of_a_signal_of_power_one():
    rng = np.random.default_rng(4)
    truth = rng.choice([-1.0, 1.0], 1000).astype(np.float32)
    found = (truth + rng.normal(0, 0.01, 1000)).astype(np.float32)
    likeness = Likeness()
    likeness.add(compare_image(truth, found, None))
    assert likeness.sqnr == pytest.approx(peak_signal_noise_ratio(truth, found, data_range=1.0), abs=1e-4)


def test_channels_last_memory_is_compared_in_logical_order():
    truth = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    found = np.ascontiguousarray(truth.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert not found.flags.c_contiguous
    assert flat(found).tolist() == truth.reshape(-1).tolist()
    assert compare_image(truth, found, None)[3] == 0.0


@pytest.mark.parametrize(
    ("sums", "expected"), [((0, 0, 0), 1.0), ((1, 0, 0), 0.0), ((0, 4, 0), 0.0), ((4, 9, 6), 1.0), ((4, 9, -6), -1.0)]
)
def test_cosine_of_zeros_and_parallels(sums, expected):
    assert cosine(*map(float, sums)) == expected


def test_ratios_stay_finite():
    assert finite_ratio(0.0, 0.0) == 0.0
    assert finite_ratio(1.0, 0.0) == 1e6
    assert finite_ratio(1.0, 4.0) == 0.25
    assert decibel(0.0) == 200.0
    assert decibel(0.1) == pytest.approx(10.0)
    assert decibel(1e6) == pytest.approx(-60.0)
    assert math.isfinite(decibel(finite_ratio(1e300, 1e-300)))
