"""NumPy twins of `_kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rounding_errors(
    rows: NDArray[np.float32], peaks: NDArray[np.float64], ratios: NDArray[np.float64], high: int, errors: Any
) -> None:
    """Write into `errors` [R, O] the summed squared error of each row at each ratio; see `_kernels`."""
    values = rows.astype(np.float64)
    for r, ratio in enumerate(ratios):
        scale = (peaks * ratio / high)[:, None]
        used = np.where(scale > 0, scale, 1.0)
        integers = np.clip(np.rint(values / used), -high, high)
        errors[r] = np.where(scale[:, 0] > 0, np.square(values - integers * used).sum(axis=1), 0.0)
