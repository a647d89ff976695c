"""Is there a score to search by, and a quick way to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from slimai.errors import Diagnostic, InputError
from slimai.metrics.base import Metric, Record, Result

__all__ = ["quick_score", "require_score"]


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
