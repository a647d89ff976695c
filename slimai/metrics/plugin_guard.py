"""A metric of slimai's own form that a user has written: whatever it raises names plug-in, file, line and picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import Diagnostic
from slimai.metrics.base import Array, Metric, Record, Result
from slimai.metrics.vendor.calls import PluginError, guarded, place_of

__all__ = ["GuardedMetric"]


class GuardedMetric:
    """Passes every call on to the plug-in's metric; it has the optional members that the metric has."""

    def __init__(self, metric: Metric, name: str) -> None:
        """`name` is the metric's in the configuration."""
        self.inner = metric
        self._name = name
        members = ("name", "uses_float", "higher_is_better", "value_range")
        lacking = [member for member in members if not hasattr(metric, member)]
        if lacking:
            raise PluginError(f"{place_of(type(metric))}: class '{name}' lacks {', '.join(lacking)}")
        self.name, self.uses_float = metric.name, metric.uses_float
        self.higher_is_better, self.value_range = metric.higher_is_better, metric.value_range
        for member in ("quick_score", "resampled_scores", "check_samples"):
            if hasattr(metric, member):
                setattr(self, member, getattr(self, f"_{member}"))

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that the metric's result depends on."""
        return tuple(getattr(self.inner, "files", ()))

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None) -> Record:
        """Return the plug-in's record of one picture."""
        what = f"measure of image '{sample.files[0]}'"
        record: Record = self._guarded(lambda: self.inner.measure(sample, outputs, reference), what)
        return record

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the plug-in's result."""
        found: Any = self._guarded(lambda: self.inner.combine(records), "combine")
        if not isinstance(found, Result):
            where = place_of(type(self.inner).combine)
            raise PluginError(f"{where}: {self._name}.combine must return a Result (got {type(found).__name__})")
        return found

    def _quick_score(self, records: Sequence[Record]) -> float | None:
        score: float | None = self._guarded(lambda: self.inner.quick_score(records), "quick_score")  # type: ignore[attr-defined]
        return score

    def _resampled_scores(self, records: Sequence[Record], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        def scored() -> NDArray[np.float64]:
            return np.asarray(self.inner.resampled_scores(records, counts), np.float64)  # type: ignore[attr-defined]

        scores = self._guarded(scored, "resampled_scores")
        if scores.shape != (len(counts),):
            where = place_of(type(self.inner).resampled_scores)  # type: ignore[attr-defined]
            wanted = f"{self._name}.resampled_scores must return {len(counts)} scores"
            raise PluginError(f"{where}: {wanted} (got the shape {scores.shape})")
        found: NDArray[np.float64] = scores
        return found

    def _check_samples(self, samples: Sequence[Sample]) -> list[Diagnostic]:
        return list(self._guarded(lambda: self.inner.check_samples(samples), "check_samples"))  # type: ignore[attr-defined]

    def _guarded(self, call: Callable[[], Any], what: str) -> Any:
        return guarded(call, f"{self._name}.{what}", type(self.inner))
