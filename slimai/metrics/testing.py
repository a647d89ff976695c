# ruff: noqa: S101 - a test is made of asserts
"""The contract of a metric, as a test class that any metric's tests can inherit (needs pytest)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import SlimaiError
from slimai.metrics.base import Metric, Record, Result

Outputs = Sequence[NDArray[Any]]

__all__ = ["MetricContract"]


class MetricContract:
    """Inherit, and define the fixtures `metric` and `cases`.

    metric: the metric. cases: at least three of (sample, outputs, float outputs), each of another sample;
    their records must give a score. `order_tolerance`: how far two orders of the records may differ.
    """

    order_tolerance: float = 1e-12

    @pytest.fixture
    def metric(self) -> Metric:
        """Return the metric under test."""
        raise NotImplementedError

    @pytest.fixture
    def cases(self) -> Sequence[tuple[Sample, Outputs, Outputs]]:
        """Return (sample, outputs, float outputs) of some images."""
        raise NotImplementedError

    @pytest.fixture
    def records(self, metric: Metric, cases: Sequence[tuple[Sample, Outputs, Outputs]]) -> list[Record]:
        """Return the records of the cases."""
        return [metric.measure(sample, outputs, reference) for sample, outputs, reference in cases]

    def test_it_says_what_it_is(self, metric: Metric) -> None:
        """Name, direction and range are there."""
        assert isinstance(metric.name, str)
        assert metric.name
        assert isinstance(metric.uses_float, bool)
        assert isinstance(metric.higher_is_better, bool)
        low, high = metric.value_range
        assert low < high

    def test_records_are_arrays(self, records: Sequence[Record]) -> None:
        """A record is a mapping of names to plain arrays, which can be stored without pickling."""
        for record in records:
            assert isinstance(record, Mapping)
            for value in record.values():
                assert isinstance(value, np.ndarray)
                assert value.dtype.kind in "biuf"

    def test_score_is_in_range(self, metric: Metric, records: Sequence[Record]) -> None:
        """The score is in 0..1 and the value in its range."""
        result = metric.combine(records)
        assert result.score is not None
        assert 0.0 <= result.score <= 1.0
        low, high = metric.value_range
        assert low <= result.value <= high

    def test_scores_of_pictures(self, metric: Metric, records: Sequence[Record]) -> None:
        """Scores of single pictures, where there are any, average to the score."""
        result = metric.combine(records)
        if result.per_image is not None:
            assert result.per_image.shape == (len(records),)
            assert result.score == pytest.approx(float(result.per_image.mean()), abs=1e-9)

    def test_order_changes_nothing(self, metric: Metric, records: Sequence[Record]) -> None:
        """Neither the order of the records nor asking twice changes the result."""
        first = metric.combine(records)
        for again in (metric.combine(records), metric.combine(records[::-1])):
            assert again.value == pytest.approx(first.value, abs=self.order_tolerance)
            assert _same_values(again, first, self.order_tolerance)

    def test_a_subset_is_its_own_set(
        self, metric: Metric, records: Sequence[Record], cases: Sequence[tuple[Sample, Outputs, Outputs]]
    ) -> None:
        """A subset of the records gives what measuring only those images gives."""
        part = metric.combine(records[:2])
        fresh = metric.combine([metric.measure(*case) for case in cases[:2]])
        assert part.value == pytest.approx(fresh.value, abs=self.order_tolerance, nan_ok=True)

    def test_inputs_are_left_alone(self, metric: Metric, cases: Sequence[tuple[Sample, Outputs, Outputs]]) -> None:
        """Measuring does not write into the outputs."""
        sample, outputs, reference = cases[0]
        before = copy.deepcopy((list(outputs), list(reference)))
        metric.measure(sample, outputs, reference)
        for kept, now in zip((*before[0], *before[1]), (*outputs, *reference), strict=True):
            np.testing.assert_array_equal(kept, now)

    def test_values_that_are_not_finite(self, metric: Metric, cases: Sequence[tuple[Sample, Outputs, Outputs]]) -> None:
        """NaN is an error that names the image."""
        sample, outputs, reference = cases[0]
        broken = [np.full(output.shape, np.nan, np.float32) for output in outputs]
        with pytest.raises(SlimaiError, match=r"(?i)finite|nan") as caught:
            metric.combine([metric.measure(sample, broken, reference)])
        assert sample.files[0].name in str(caught.value)


def _same_values(one: Result, other: Result, tolerance: float) -> bool:
    return one.values.keys() == other.values.keys() and all(
        one.values[key] == pytest.approx(other.values[key], abs=tolerance, nan_ok=True) for key in one.values
    )
