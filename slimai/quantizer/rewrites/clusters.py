"""Clusters of channels with like ranges: how many pay, and which channel goes where.

A channel wastes log2(largest range of its cluster / its own range) bits of the integers that the cluster's scale has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_CLUSTERS = 8
SMALLEST_SAVING = 0.35  # bits a channel, over the tensors together, that one more cluster has to save
MOST_BITS = 8.0  # a channel that small has no integers left; it cannot lose more


Indices = NDArray[np.int64]


Matrix = NDArray[np.float64]


def clusters(magnitudes: Sequence[NDArray[np.float64]]) -> tuple[Indices, ...]:
    """Return the channels of each cluster, ascending within it; one cluster of all where more do not pay.

    magnitudes: [C] largest |value| of each channel, for each of the tensors that the clusters give their own scale.
    Greedy: the cut of one cluster along one tensor's ranges that saves most bits, as long as it saves enough. Ranges
    that are not finite decide nothing: calibration comes next, and names tensor and image.
    """
    if not all(np.isfinite(values).all() for values in magnitudes):
        return (np.arange(len(magnitudes[0])),)
    ranges = np.stack([_bits(values) for values in magnitudes])
    count = ranges.shape[1]
    found: list[Indices] = [np.arange(count)]
    while len(found) < min(MOST_CLUSTERS, count):
        cuts = [_best_cut(ranges[:, members]) for members in found]
        place = max(range(len(found)), key=lambda at: cuts[at][0])
        saved, inside = cuts[place]
        if saved < SMALLEST_SAVING * count:
            break
        members = found[place]
        found[place : place + 1] = [members[~inside], members[inside]]
    return tuple(found)


def bits_below(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return log2 of each channel's magnitude over the largest, 0 down to -8; None where one is not finite."""
    return _bits(values) if np.isfinite(values).all() else None


def contiguous_clusters(ranges: NDArray[np.float64], seams: Sequence[int]) -> tuple[int, ...]:
    """Return those of the seams, ascending, at which cutting the channels' order pays.

    ranges: [C] of `bits_below`. seams: where it may be cut. Greedy, as `clusters`: the cut that saves most bits, as
    long as it saves enough.
    """
    cuts: list[int] = []
    count = len(ranges)
    while len(cuts) + 1 < MOST_CLUSTERS:
        needed = _needed(ranges, cuts)
        left = [at for at in seams if at not in cuts]
        saved = [needed - _needed(ranges, [*cuts, at]) for at in left]
        if not saved or max(saved) < SMALLEST_SAVING * count:
            break
        cuts.append(left[int(np.argmax(saved))])
    return tuple(sorted(cuts))


def _needed(ranges: NDArray[np.float64], cuts: Sequence[int]) -> float:
    """Return the bits, over those of the smallest channel, that all channels have when they are cut there."""
    return float(sum(part.max() * len(part) for part in np.split(ranges, sorted(cuts))))


def _bits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log2 of the magnitudes, none further below the largest than counts; a channel of zeros needs no bits."""
    largest = float(values.max(initial=0.0))
    found = np.zeros(values.shape)
    live = values > 0.0
    found[live] = np.log2(np.maximum(values[live] / largest, 2.0**-MOST_BITS))
    return found


def _best_cut(ranges: Matrix) -> tuple[float, NDArray[np.bool_]]:
    """Return the bits that the best cut of [T, C] ranges in two saves, and which channels are in the upper part."""
    count = ranges.shape[1]
    best, upper = 0.0, np.zeros(count, bool)
    for row in ranges:
        order = np.argsort(row, kind="stable")
        sorted_ranges = ranges[:, order]
        below = np.maximum.accumulate(sorted_ranges, axis=1)
        above = np.maximum.accumulate(sorted_ranges[:, ::-1], axis=1)[:, ::-1]
        sizes = np.arange(1, count)
        needed = below[:, :-1] * sizes + above[:, 1:] * (count - sizes)
        saved = (ranges.max(axis=1) * count)[:, None] - needed
        total = saved.sum(axis=0)
        if count > 1 and float(total.max()) > best:
            at = int(total.argmax())
            best = float(total[at])
            upper = np.zeros(count, bool)
            upper[order[at + 1 :]] = True
    return best, upper
