"""NumPy twins of `_kernels_search`: the definitions written out over cells and bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def moments(counts: NDArray[np.int64], first: int) -> Floats:
    """Return [3, B + 1] running sums of count, first and second moment, in bin units."""
    n, a = counts.astype(np.float64), first + np.arange(counts.size, dtype=np.float64)
    rows = np.stack([n, n * (a + 0.5), n * (a * a + a + 1.0 / 3.0)])
    return np.concatenate([np.zeros((3, 1)), np.cumsum(rows, axis=1)], axis=1)


def scan_mse(sums: Floats, first: float, scales: Floats, lows: Any, highs: Any, errors: Floats) -> None:
    """Write the summed squared error, in bin units, of each grid into `errors`, by integrating over every piece.

    The line of bins is cut at all bin and cell edges; on each piece the density is constant and the integer known.
    """
    bins = sums.shape[1] - 1
    density = np.diff(sums[0])
    for k, (scale, low, high) in enumerate(zip(scales, lows, highs, strict=True)):
        cells = (np.arange(low, high) + 0.5) * scale - first
        cuts = np.unique(np.concatenate([np.arange(bins + 1), cells[(cells > 0) & (cells < bins)]]))
        middle = (cuts[1:] + cuts[:-1]) / 2
        value = np.clip(np.rint((middle + first) / scale), low, high) * scale - first
        weight = density[np.minimum(middle.astype(int), bins - 1)]
        errors[k] = (weight * ((cuts[1:] - value) ** 3 - (cuts[:-1] - value) ** 3) / 3).sum()


def entropies(counts: NDArray[np.int64]) -> Floats:
    """Return [3, B + 1] running sums of count, count * log(count), and of bins that are not empty."""
    n = counts.astype(np.float64)
    rows = np.stack([n, n * np.log(np.maximum(n, 1.0)), (n > 0).astype(np.float64)])
    return np.concatenate([np.zeros((3, 1)), np.cumsum(rows, axis=1)], axis=1)


def scan_kl(sums: Floats, first: int, scales: Floats, lows: Any, highs: Any, errors: Floats) -> None:
    """Write KL(P || Q) of each grid into `errors`, bin by bin; see `_kernels_search.divergence`."""
    counts = np.diff(sums[0])
    for k, (scale, low, high) in enumerate(zip(scales, lows, highs, strict=True)):
        errors[k] = _divergence(counts, first, float(scale), int(low), int(high)) if scale >= 1.0 else np.inf


def _divergence(counts: Floats, first: int, scale: float, low: int, high: int) -> float:
    centres = first + np.arange(counts.size) + 0.5
    inside = np.flatnonzero((centres >= (low - 0.5) * scale) & (centres < (high + 0.5) * scale))
    if inside.size == 0 or counts[inside].sum() == 0:
        return float(np.inf)
    p = counts[inside].copy()
    p[0] += counts[: inside[0]].sum()
    p[-1] += counts[inside[-1] + 1 :].sum()
    cell = np.floor(centres[inside] / scale + 0.5)
    q = np.zeros(p.size)
    zero = inside == -first
    for members in [*((cell == value) & ~zero for value in np.unique(cell)), zero]:
        # the cell of zero is split in three by the bin of zero
        for part in _runs(np.flatnonzero(members)):
            occupied = part[p[part] > 0]
            if occupied.size:
                q[occupied] = counts[inside][part].sum() / occupied.size
    used = p > 0
    if (q[used] == 0).any():
        return float(np.inf)
    fraction, model = p[used] / p.sum(), q[used] / q.sum()
    return float((fraction * np.log(fraction / model)).sum())


def _runs(indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [run for run in np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1) if run.size]
