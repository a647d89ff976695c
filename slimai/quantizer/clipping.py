"""Weight clipping: a channel's largest integer may stand for less than its largest weight.

The ratio is the one with the least summed squared error over the channel's weights (over the layer's, with one
scale a layer); 1 wins ties, so a channel is clipped only where that helps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array
from slimai.quantizer.params import IntType
from slimai.quantizer.weight_layout import WeightLayout

RATIOS = np.linspace(1.0, 0.5, 26)
FOUR_BIT_RATIOS = np.linspace(1.0, 0.3, 71)  # with 7 steps to a side more is cut off, and the place matters more


def clipped_peaks(weights: Array, layout: WeightLayout, dtype: IntType, *, per_channel: bool) -> NDArray[np.float64]:
    """Return [O] the largest |weight| to keep in each output channel (the same for all, with one scale a layer)."""
    from slimai.quantizer._kernels import rounding_errors  # noqa: PLC0415 - spares numba

    rows = np.ascontiguousarray(layout.by_channel(weights.astype(np.float32)))
    peaks: NDArray[np.float64] = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
    if dtype.bits > 8:
        return peaks  # rounding is far below clipping: nothing to win
    if not per_channel:
        peaks[:] = peaks.max(initial=0.0)
    ratios = RATIOS if dtype.bits == 8 else FOUR_BIT_RATIOS
    errors = np.zeros((ratios.size, peaks.size))
    rounding_errors(rows, peaks, ratios, dtype.high, errors)
    chosen = np.argmin(errors, axis=0) if per_channel else np.argmin(errors.sum(axis=1))
    kept: NDArray[np.float64] = peaks * ratios[chosen]
    return kept
