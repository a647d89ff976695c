"""Compiled loops of the quantizer; `_reference` has the NumPy twins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit


@njit(nogil=True, cache=True)
def rounding_errors(
    rows: NDArray[np.float32], peaks: NDArray[np.float64], ratios: NDArray[np.float64], high: int, errors: Any
) -> None:
    """Write into `errors` [R, O] the summed squared error of row o with its largest integer at peaks[o] * ratios[r]."""
    for r in range(ratios.size):
        for o in range(rows.shape[0]):
            total = 0.0
            scale = peaks[o] * ratios[r] / high
            if scale > 0.0:
                inverse = 1.0 / scale
                for value in rows[o]:
                    integer = np.rint(value * inverse)
                    integer = min(max(integer, -float(high)), float(high))
                    total += (value - integer * scale) ** 2
            errors[r, o] = total
