"""Compiled loops of average precision; `_reference` has the NumPy twins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit


@njit(nogil=True, cache=True)
def add_precision(
    state: NDArray[np.int8],
    weights: NDArray[np.int64],
    objects: NDArray[np.int64],
    recalls: NDArray[np.float64],
    sums: Any,
) -> None:
    """Add to `sums` [R] the interpolated precision of one class, summed over IoU thresholds and `recalls` [K].

    state: [T, D], best score first: 1 hit, 0 miss, -1 ignored, by IoU threshold. weights: [R, D] how often a detection
    counts in each resampled set. objects: [R] objects of the class; rows without any add nothing. recalls: ascending.
    """
    hits, precision = np.empty(state.shape[1]), np.empty(state.shape[1])
    for row in range(weights.shape[0]):
        if objects[row] > 0:
            for level in range(state.shape[0]):
                _curve(state[level], weights[row], hits, precision)
                sums[row] += _interpolated(hits / objects[row], precision, recalls)


@njit(nogil=True, cache=True)
def _curve(state: Any, weights: Any, hits: Any, precision: Any) -> None:
    """Fill in, for each detection, the hits so far and the largest precision from there on."""
    hit = miss = 0
    for at in range(state.size):
        hit += weights[at] * (state[at] == 1)
        miss += weights[at] * (state[at] == 0)
        hits[at] = hit
        precision[at] = hit / max(hit + miss, 1)
    for at in range(state.size - 2, -1, -1):
        precision[at] = max(precision[at], precision[at + 1])


@njit(nogil=True, cache=True)
def _interpolated(recall: Any, precision: Any, recalls: Any) -> float:
    """Return the sum of the precision at the first detection that reaches each wanted recall, 0 beyond the last."""
    total, at = 0.0, 0
    for wanted in recalls:
        while at < recall.size and recall[at] < wanted:
            at += 1
        if at == recall.size:
            break
        total += precision[at]
    return total
