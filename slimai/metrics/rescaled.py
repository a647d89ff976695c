"""A metric whose score is a straight line over its value (`metric.score_range`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from slimai.data.sample import Sample
from slimai.errors import Diagnostic
from slimai.metrics.base import Array, Metric, Record, Result

__all__ = ["Rescaled"]


class Rescaled:
    """Score = (value - lo) / (hi - lo), kept in 0..1; lo > hi says that smaller values are better.

    Scores of single pictures are given up: they belong to the metric's own score.
    """

    def __init__(self, metric: Metric, limits: tuple[float, float]) -> None:
        """`limits`: the values (lo, hi) of the scores 0 and 1; they differ."""
        self.name = metric.name
        self.uses_float = metric.uses_float
        self.higher_is_better = limits[1] > limits[0]
        self.value_range = (min(limits), max(limits))
        self._metric = metric
        self._limits = limits

    @property
    def inner(self) -> Metric:
        """Return the metric whose values are rescaled."""
        return self._metric

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that the metric's result depends on."""
        return tuple(getattr(self._metric, "files", ()))

    def check_samples(self, samples: Sequence[Sample]) -> list[Diagnostic]:
        """Return what the metric says of these samples."""
        check = getattr(self._metric, "check_samples", None)
        return [] if check is None else list(check(samples))

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None) -> Record:
        """Return the metric's own record of one picture."""
        return self._metric.measure(sample, outputs, reference)

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the metric's own values with the new score; none where the value is NaN."""
        result = self._metric.combine(records)
        return replace(result, score=self._score(result.value), per_image=None)

    def quick_score(self, records: Sequence[Record]) -> float | None:
        """Return the new score by the metric's own quick way, in which score and value are one."""
        own = getattr(self._metric, "quick_score", None)
        if own is None:
            return self.combine(records).score
        value = own(records)
        return None if value is None else self._score(value)

    def _score(self, value: float) -> float | None:
        lo, hi = self._limits
        return None if np.isnan(value) else float(np.clip((value - lo) / (hi - lo), 0.0, 1.0))
