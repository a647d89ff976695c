"""The paired difference of two scores against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.metrics.base import Result
from slimai.search.paired import paired_difference


class Mean:
    """A metric over images, or only over the set."""

    def __init__(self, *, each):
        self.each = each

    def combine(self, records):
        values = np.array([float(record["score"]) for record in records])
        return Result(values.mean(), values.mean(), per_image=values if self.each else None)


def rows(values):
    return [{"score": np.float64(value)} for value in values]


@pytest.mark.parametrize("each", [True, False])
def test_what_is_hard_for_both_cancels(each):
    rng = np.random.default_rng(3)
    first = rng.uniform(0, 0.9, 200)
    found = paired_difference(Mean(each=each), rows(first), rows(first + 0.05))
    assert found.difference == pytest.approx(0.05, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((0.05, 0.05), abs=1e-12)
    assert found.decided
    assert found.images == 200


def test_the_interval_is_that_of_the_mean_difference():
    rng = np.random.default_rng(4)
    first, second = rng.uniform(0, 1, 400), rng.uniform(0, 1, 400)
    found = paired_difference(Mean(each=True), rows(first), rows(second))
    gaps = second - first
    error = gaps.std(ddof=1) / np.sqrt(400)  # normal approximation; the bootstrap of 192 draws is within a quarter
    assert found.low == pytest.approx(gaps.mean() - 1.96 * error, abs=0.5 * error)
    assert found.high == pytest.approx(gaps.mean() + 1.96 * error, abs=0.5 * error)


def test_no_difference_without_images_or_scores():
    assert paired_difference(Mean(each=True), rows([1.0]), rows([1.0])) is None
    assert paired_difference(Mean(each=True), rows([1.0, 0.5]), rows([1.0])) is None
