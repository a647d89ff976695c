"""What the score loses where one tensor alone is rounded in the float network, on a few validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slimai.search.evaluate import batches, measure_batch

if TYPE_CHECKING:
    from slimai.metrics.base import Metric
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
    records = []
    for indices in batches(range(min(images, len(validation.samples))), validation.batch):
        outputs = rounding.outputs(validation.inputs.pick(indices), tensor)
        records.extend(measure_batch(metric, validation, indices, outputs))
    score = metric.combine(records).score
    return score if score is not None and math.isfinite(score) else None
