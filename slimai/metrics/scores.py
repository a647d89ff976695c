"""Is there a score to search by, and a quick way to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slimai.errors import Diagnostic, InputError
from slimai.metrics.base import Metric, Record, Result

__all__ = ["quick_score", "require_score", "resampled_scores", "weighted_scores"]


def require_score(metric: Metric, result: Result, candidates: int) -> None:
    """Raise InputError where several candidates cannot be compared: the float network's value has no score.

    result: of the float network, so that this is known before the first candidate. A value that is NaN is not
    the metric's fault (there may be nothing to score) and passes, as `NoMetric` does.
    """
    if candidates < 2 or result.score is not None or math.isnan(result.value):
        return
    raise InputError(
        Diagnostic(
            f"{metric.name} gives {result.value:g} for the float network, outside 0..1: candidates cannot be compared",
            key="metric.metric_cls",
            suggestion="set metric.score_range: [lo, hi], the values that become the scores 0 and 1",
        )
    )


def quick_score(metric: Metric, records: Sequence[Record]) -> float | None:
    """Return the score of these records, for resampling: by the metric's own `quick_score` where it has one.

    None where there is no score, or where asking many times would take too long.
    """
    own = getattr(metric, "quick_score", None)
    if own is not None:
        score: float | None = own(records)
        return score
    return metric.combine(records).score


def resampled_scores(metric: Metric, records: Sequence[Record], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return [R] the scores of resampled sets, NaN where there is none; draws: [R, n] indices into `records`.

    By the metric's own `resampled_scores(records, counts [R, len(records)])` where it has one.
    """
    counts = np.stack([np.bincount(draw, minlength=len(records)) for draw in draws])
    return weighted_scores(metric, records, counts)


def weighted_scores(metric: Metric, records: Sequence[Record], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return [R] the scores of sets in which record i is counts[r, i] times, NaN where there is none."""
    own = getattr(metric, "resampled_scores", None)
    if own is not None:
        scores: NDArray[np.float64] = own(records, counts)
        return scores
    found = (
        quick_score(metric, [records[at] for at in np.repeat(np.arange(len(row)), row).tolist()]) for row in counts
    )
    return np.array([math.nan if score is None else score for score in found])
