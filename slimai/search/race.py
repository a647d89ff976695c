"""When a race may drop a candidate: paired differences on the images seen so far.

The question is not which candidate is better in general but which has the best score on *this* validation
set, so the uncertainty shrinks with the share of the set that was seen (finite population correction,
Cochran, Sampling Techniques, 1977, section 2.6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.base import Metric, Record
from slimai.metrics.scores import resampled_scores, weighted_scores

FIRST_RUNG = 8
# GROWTH, CONFIDENCE and PRIOR_IMAGES were compared with 35 other settings on replayed records of three labelled
# networks (docs/search.md): the one kept is on the careful side, cheaper ones missed the winner more often
GROWTH = 1.5
CONFIDENCE = 2.5  # standard errors of a one-sided decision; many pairs are decided, so more than the usual two
RESAMPLES = 48
GROUPS = 48  # of images that a jackknife leaves out at a time
SCORE_RANGE = 1.0
PRIOR_IMAGES = 1.0  # one imaginary image on which the pair differs by half of the score range


def rungs(images: int, first: int | None = None, growth: float | None = None) -> list[int]:
    """Return the growing numbers of images after which candidates are compared; the last is all of them.

    first, growth: by default those of a race without a guarantee.
    """
    sizes = []
    size = FIRST_RUNG if first is None else first
    while size < images:
        sizes.append(size)
        size = int(size * (GROWTH if growth is None else growth))
    return [*sizes, images]


def image_order(images: int, seed: int) -> list[int]:
    """Return a seeded permutation of the image indices; every candidate sees images in this order."""
    return [int(index) for index in np.random.default_rng(seed).permutation(images)]


def behind(
    scores: Sequence[float],
    differences: Sequence[tuple[float, float]],
    *,
    seen: int,
    images: int,
    tolerance: float,
) -> list[bool]:
    """Return for each candidate whether it cannot beat the leader by more than `tolerance` on the whole set.

    scores: score of each candidate on the images seen. differences: (mean, standard error) of candidate
    minus leader. The leader itself is never behind.
    """
    leader = int(np.argmax(scores))
    remaining = math.sqrt(max(0.0, 1.0 - seen / images))
    verdicts = [mean + CONFIDENCE * error * remaining < tolerance for mean, error in differences]
    verdicts[leader] = False
    return verdicts


def paired_differences(values: NDArray[np.float64], leader: int) -> list[tuple[float, float]]:
    """Return (mean, standard error) of each row minus the leader's row; values is `[candidates, images]`.

    One imaginary image keeps the error above zero where two candidates agree on everything so far; while all
    candidates agree on all images, it differs by half of the whole score range, so that nobody is dropped.
    """
    gaps = values - values[leader]
    count = gaps.shape[1]
    spread = (float(values.max() - values.min()) or SCORE_RANGE) / 2
    means = gaps.mean(axis=1)
    squares = ((gaps - means[:, None]) ** 2).sum(axis=1) + PRIOR_IMAGES * spread**2
    errors = np.sqrt(squares / (count + PRIOR_IMAGES - 1) / count)
    return [(float(mean), float(error)) for mean, error in zip(means, errors, strict=True)]


def jackknife_differences(
    metric: Metric, records: Sequence[Sequence[Record]], scores: Sequence[float], leader: int
) -> list[tuple[float, float]]:
    """Return (difference, standard error) to the leader for a metric that only exists over a set.

    What an image adds to a set's score is what the score loses without it: h times the whole score minus h - 1 times
    that of the rest is its pseudo-value, and the error of a difference is that of the mean of the differences of both
    candidates' pseudo-values (the jackknife; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11).
    What is hard for both cancels. Up to `GROUPS` images are left out one by one, more in so many groups (Busing, Meijer
    and van der Leeden, Delete-m jackknife for unequal m, 1999). The network is not run again.
    """
    count = len(records[0])
    part = np.arange(count) % min(count, GROUPS)
    left = (part != np.arange(part.max() + 1)[:, None]).astype(np.int64)  # [groups, images], in a seeded order
    weight = count / (count - left.sum(axis=1))
    table = np.array([weighted_scores(metric, rows, left) for rows in records])
    with np.errstate(invalid="ignore"):  # of a set without a score, whose error is then not a number either
        values = weight * np.array(scores)[:, None] - (weight - 1) * table
        gaps = values - values[leader]
    squares = (gaps - gaps.mean(axis=1, keepdims=True)) ** 2
    errors = np.sqrt((squares / (weight - 1)).mean(axis=1))
    floor = 0.5 / count / math.sqrt(count)
    return [(score - scores[leader], max(float(error), floor)) for score, error in zip(scores, errors, strict=True)]


def interval(
    metric: Metric, records: Sequence[Record], values: NDArray[np.float64] | None, seed: int
) -> tuple[float, float] | None:
    """Return the 95 % percentile-bootstrap interval of the score over images, or None without a score.

    values: the score of each image, or None when the metric only exists over a set. It answers how far the score
    would move with other images of the same kind.
    """
    count = len(records)
    if count < 2:
        return None
    draws = np.random.default_rng(seed).integers(0, count, (4 * RESAMPLES, count))
    if values is not None:
        table = np.sort(values[draws].mean(axis=1))
    else:
        table = np.sort(resampled_scores(metric, records, draws[:RESAMPLES]))
    if np.isnan(table).any():
        return None
    low, high = np.quantile(table, [0.025, 0.975])
    return float(low), float(high)
