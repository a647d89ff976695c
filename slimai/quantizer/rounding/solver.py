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
    loops = compiled() if kernels is None else kernels
    nearest: Integers = np.clip(np.rint(start), -high, high).astype(np.int64)
    order = np.argsort(np.diag(h), kind="stable")  # the last is the first to be set: the weight of most effect
    h = np.ascontiguousarray(h[np.ix_(order, order)])
    c, nearest = np.ascontiguousarray(c[:, order]), np.ascontiguousarray(nearest[:, order])
    found = _solved(h, c, nearest, high, loops)
    result = np.empty_like(found)
    result[:, order] = found
    return result


def compiled() -> ModuleType:
    """Return the compiled loops."""
    from slimai.quantizer.rounding import _kernels  # noqa: PLC0415 - spares numba

    return _kernels


def _solved(h: Matrix, c: Matrix, nearest: Integers, high: int, kernels: ModuleType) -> Integers:
    order = np.arange(h.shape[0] - 1, -1, -1)
    best, g = _downhill(h, c, nearest, order, high, kernels)
    factor = h.copy() if h.shape[0] <= LARGEST_SWEEP else None
    if factor is not None and kernels.cholesky(factor):
        y = c.copy()
        kernels.forward(factor, np.ascontiguousarray(factor.T), y)
        swept = np.zeros_like(nearest)
        kernels.nearest_plane(factor, y.copy(), high, swept)
        other, slope = _downhill(h, c, swept, order, high, kernels)
        better = _value(c, other, slope) < _value(c, best, g)
        best[better], g[better] = other[better], slope[better]
        if h.shape[0] <= ENUMERATED:
            kernels.enumerate_planes(factor, y, high, best, MOST_STEPS)
            return best
    kernels.descend_pairs(h, g, best, order, high, PAIR_SWEEPS)
    return best


def _downhill(
    h: Matrix, c: Matrix, start: Integers, order: Integers, high: int, kernels: ModuleType
) -> tuple[Integers, Matrix]:
    """Return the integers that descent from `start` ends at, and the slopes there."""
    z, g = start.copy(), np.empty_like(c)
    kernels.slopes(h, c, z.astype(np.float64), g)
    kernels.descend(h, g, z, order, high, SINGLE_SWEEPS)
    return z, g


def sums(h: Matrix, c: Matrix, z: Matrix, *, kernels: ModuleType | None = None) -> NDArray[np.float64]:
    """Return [O] z' H z - 2 c' z of numbers z [O, K], summed in one order whatever library multiplies matrices."""
    loops = compiled() if kernels is None else kernels
    g = np.empty_like(c)
    loops.slopes(h, np.ascontiguousarray(c), np.ascontiguousarray(z), g)
    return _value(c, z, g)


def residual(h: Matrix, c: Matrix, z: Matrix) -> Matrix:
    """Return H z - c, [O, K], summed in one order."""
    out = np.empty_like(z)
    compiled().slopes(h, np.ascontiguousarray(c), np.ascontiguousarray(z), out)
    return out


def _value(c: Matrix, z: Matrix | Integers, g: Matrix) -> NDArray[np.float64]:
    """Return [O] z' (g - c), which is z' H z - 2 c' z for g = H z - c."""
    total: NDArray[np.float64] = np.zeros(z.shape[0])
    for j in range(z.shape[1]):
        total += z[:, j] * (g[:, j] - c[:, j])
    return total


def least_squares(
    h: Matrix, rest: Matrix, prior: Matrix, weight: NDArray[np.float64], *, kernels: ModuleType | None = None
) -> Matrix | None:
    """Return [O, K] the real x with the least x' H x - 2 c' x + (x - prior)' W (x - prior); None: H + W is singular.

    rest: H prior - c, as `residual` gives it. weight: [K] the diagonal of W.
    """
    loops = compiled() if kernels is None else kernels
    factor, move = h.copy(), rest.copy()
    factor[np.diag_indices(len(h))] += weight
    if not loops.cholesky(factor):
        return None
    loops.forward(factor, np.ascontiguousarray(factor.T), move)
    loops.backward(factor, move)
    result: Matrix = prior - move
    return result
