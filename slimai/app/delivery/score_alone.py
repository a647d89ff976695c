"""What the score loses where one tensor alone is rounded in the float network, on a few validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from slimai.report.analysis import batch_for
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
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """Return tensor -> float score minus the score with it rounded, over the first `images` validation images.

    Empty where the metric has no score over so few images. `advance` is told the images of each batch. A batch is as
    many images as the layer analysis takes at once, so that their activations stay small.
    """
    if not tensors or _of_float(validation, metric, images) is None:
        return {}
    records: dict[str | None, list[Record]] = {name: [] for name in (None, *tensors)}
    size = min(validation.batch, batch_for(rounding.graph))
    for indices in batches(range(min(images, len(validation.samples))), size):
        found = rounding.each(validation.inputs.pick(indices), tensors)
        for name, outputs in zip(records, found, strict=True):
            records[name].extend(measure_batch(metric, validation, indices, outputs))
        advance(len(indices))
    scores = {name: _combined(metric, given) for name, given in records.items()}
    whole = scores.pop(None)
    if whole is None:
        return {}
    return {name: whole - score for name, score in scores.items() if name is not None and score is not None}


def _of_float(validation: Validation, metric: Metric, images: int) -> float | None:
    """Return the score of the float outputs of the first images, None where the metric has none of so few."""
    records: list[Record] = []
    for indices in batches(range(min(images, len(validation.samples))), validation.batch):
        outputs = validation.reference.pick(indices, validation.outputs)
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
