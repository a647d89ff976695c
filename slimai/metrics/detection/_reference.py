"""NumPy twins of `_kernels`: slow, plain, the oracle of its tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def add_precision(
    state: NDArray[np.int8],
    weights: NDArray[np.int64],
    objects: NDArray[np.int64],
    recalls: NDArray[np.float64],
    sums: Any,
) -> None:
    """Add to `sums` [R] the summed interpolated precision of one class; see `_kernels.add_precision`."""
    for row in np.flatnonzero(objects):
        for level in state:
            hits, misses = np.cumsum(weights[row] * (level == 1)), np.cumsum(weights[row] * (level == 0))
            precision = np.maximum.accumulate((hits / np.maximum(hits + misses, 1))[::-1])[::-1]
            places = np.searchsorted(hits / objects[row], recalls, side="left")
            sums[row] += precision[places[places < len(precision)]].sum()
