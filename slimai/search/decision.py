"""Whether a candidate keeps a bound on its score, by as few images as tell it: for trials of a longer search.

The bound is how far the score may lie below that of another network, on the same images; the whole validation set is
what is asked about, so the error shrinks with the share that was seen, as in a race (`slimai.search.race`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from slimai.metrics.base import Metric, Record
from slimai.search.race import FIRST_RUNG, jackknife_differences, paired_differences, rungs

CONFIDENCE = 1.5  # standard errors: a trial that is misjudged costs a trial more, not the result
PART = 1 / 3  # of the images, from which on the nearer answer is taken


def trial_rungs(images: int) -> list[int]:
    """Return the growing numbers of images after which a trial is judged; the last decides."""
    most = min(images, max(FIRST_RUNG, math.ceil(PART * images)))
    return [size for size in rungs(images) if size < most] + [most]


def keeps(
    metric: Metric, records: Sequence[Record], other: Sequence[Record], allowed: float, images: int
) -> bool | None:
    """Return whether the score over all `images` is at most `allowed` below that of `other`; None: not yet known.

    records, other: of the same images, in the order of `image_order`. At the last of `trial_rungs` there is an answer.
    """
    seen = len(records)
    results = metric.combine(other), metric.combine(records)
    scores = [-math.inf if result.score is None else result.score for result in results]
    if not all(map(math.isfinite, scores)):
        return None if seen < trial_rungs(images)[-1] else scores[1] >= scores[0] - allowed
    values = [result.per_image for result in results]
    if all(item is not None for item in values):
        mean, error = paired_differences(np.array(values), 0)[1]
    else:
        mean, error = jackknife_differences(metric, [other, records], scores, 0)[1]
    margin, doubt = mean + allowed, CONFIDENCE * error * math.sqrt(max(0.0, 1 - seen / images))
    if seen >= trial_rungs(images)[-1] or abs(margin) > doubt:
        return margin >= 0
    return None
