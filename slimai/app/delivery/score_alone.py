"""What the score loses where one tensor alone is rounded in the float network, on a few validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from slimai.search.evaluate import batches, measure_batch

if TYPE_CHECKING:
    from slimai.metrics.base import Metric, Record
    from slimai.report.alone import AloneRounding
    from slimai.search.evaluate import Validation


def score_losses(
    rounding: AloneRounding,
    tensors: Sequence[str],
    validation: Validation,
    metric: Metric,
    images: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return tensor -> float score minus the score with it rounded, over the first `images` validation images.

    Empty where the metric has no score over so few images. `advance` is called after each tensor.
    """
    whole = _score(rounding, None, validation, metric, images)
    if whole is None:
        return {}
    found = {}
    for tensor in tensors:
        score = _score(rounding, tensor, validation, metric, images)
        if score is not None:
            found[tensor] = whole - score
        advance()
    return found


def _score(
    rounding: AloneRounding, tensor: str | None, validation: Validation, metric: Metric, images: int
) -> float | None:
    records: list[Record] = []
    for indices in batches(range(min(images, len(validation.samples))), validation.batch):
        outputs = rounding.outputs(validation.inputs.pick(indices), tensor)
        records.extend(measure_batch(metric, validation, indices, outputs))
    return _combined(metric, records)


def score_of_first(found: Mapping[str, NDArray[Any]], validation: Validation, metric: Metric) -> float:
    """Return the score of outputs [N, ...] of the first N validation images, 0 where the metric has none of so few."""
    images = len(next(iter(found.values())))
    records: list[Record] = []
    for indices in batches(range(images), validation.batch):
        outputs = {name: values[indices[0] : indices[-1] + 1] for name, values in found.items()}
        records.extend(measure_batch(metric, validation, indices, outputs))
    return _combined(metric, records) or 0.0


def _combined(metric: Metric, records: Sequence[Record]) -> float | None:
    score = metric.combine(records).score
    return score if score is not None and math.isfinite(score) else None
