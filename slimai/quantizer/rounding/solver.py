"""Integers that keep a layer's output: the least of z' H z - 2 c' z over a box, one output channel at a time.

It is the closest-vector problem in a lattice. Small rows are solved outright by enumeration (Schnorr and Euchner 1994);
larger ones get the better of two starts (nearest integers; the sweep of GPTQ, Frantar et al. 2022, which is Babai's
nearest plane), each brought downhill by coordinate descent over single weights and then over pairs of them.
Deterministic; no gradient, no label.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]

ENUMERATED = 32  # weights of a row up to which the best integers are looked for outright
MOST_STEPS = 20_000  # of that, a row; rows of up to 12 weights of real layers take some hundreds
LARGEST_SWEEP = 2048  # weights of a row up to which the sweep's factor is worth its K^3 / 3
SINGLE_SWEEPS = 30
PAIR_SWEEPS = 4


def best_integers(h: Matrix, c: Matrix, start: Matrix, high: int, *, kernels: ModuleType | None = None) -> Integers:
    """Return [O, K] integers within -high..high that make z' H z - 2 c' z small.

    h: [K, K] symmetric, not negative definite. c: [O, K]. start: [O, K] real values, in the same unit as z, from which
    weights that H says nothing about are rounded. kernels: the compiled loops or their twins; both give the same.
    """
    if kernels is None:
        from slimai.quantizer.rounding import _kernels as kernels
    nearest: Integers = np.clip(np.rint(start), -high, high).astype(np.int64)
    order = np.argsort(np.diag(h), kind="stable")  # the last is the first to be set: the weight of most effect
    h = np.ascontiguousarray(h[np.ix_(order, order)])
    c, nearest = np.ascontiguousarray(c[:, order]), np.ascontiguousarray(nearest[:, order])
    found = _solved(h, c, nearest, high, kernels)
    result = np.empty_like(found)
    result[:, order] = found
    return result


def _solved(h: Matrix, c: Matrix, nearest: Integers, high: int, kernels: ModuleType) -> Integers:
    best, value = _downhill(h, c, nearest, high, kernels)
    lower = h.copy()
    if h.shape[0] > LARGEST_SWEEP or not kernels.cholesky(lower):
        return best
    y = c.copy()
    kernels.forward(lower, np.ascontiguousarray(lower.T), y)
    swept = np.zeros_like(nearest)
    kernels.nearest_plane(lower, y.copy(), high, swept)
    other, reached = _downhill(h, c, swept, high, kernels)
    better = reached < value
    best[better] = other[better]
    if h.shape[0] <= ENUMERATED:
        kernels.enumerate_planes(lower, y, high, best, MOST_STEPS)
    return best


def _downhill(
    h: Matrix, c: Matrix, start: Integers, high: int, kernels: ModuleType
) -> tuple[Integers, NDArray[np.float64]]:
    """Return the integers that descent from `start` ends at, and [O] the sums there."""
    z, g = start.copy(), np.empty_like(c)
    order = np.arange(h.shape[0] - 1, -1, -1)
    kernels.slopes(h, c, z, g)
    kernels.descend(h, g, z, order, high, SINGLE_SWEEPS)
    kernels.descend_pairs(h, g, z, order, high, PAIR_SWEEPS)
    return z, sums(h, c, z, kernels)


def sums(h: Matrix, c: Matrix, z: Integers, kernels: ModuleType | None = None) -> NDArray[np.float64]:
    """Return [O] z' H z - 2 c' z, summed in one order whatever library multiplies matrices."""
    if kernels is None:
        from slimai.quantizer.rounding import _kernels as kernels
    g = np.empty_like(c)
    kernels.slopes(h, np.ascontiguousarray(c), z, g)
    total: NDArray[np.float64] = np.zeros(z.shape[0])
    for j in range(z.shape[1]):
        total += z[:, j] * (g[:, j] - c[:, j])
    return total
