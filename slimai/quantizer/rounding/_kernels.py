"""Compiled loops of the rounding solver; `_reference` has the twins, with the same operations in the same order.

All minimise z' H z - 2 c' z over integers -high <= z <= high, a row of `z` and `c` [O, K] at a time; H [K, K] is
symmetric. No sum is reordered (no fastmath), so that the twins' integers are the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]
PANEL = 32


@njit(nogil=True, cache=True)
def cholesky(lower: Matrix) -> bool:  # noqa: C901 - one nest of loops
    """Turn the lower triangle of a symmetric matrix into its Cholesky factor, in place; False: not positive.

    In panels, so that rows stay in cache; each element still has its products taken away in the order of the columns.
    """
    size = lower.shape[0]
    panel = np.empty((PANEL, size))
    for p in range(0, size, PANEL):
        q = min(p + PANEL, size)
        for j in range(p, q):
            if not lower[j, j] > 0.0:
                return False
            pivot = np.sqrt(lower[j, j])
            lower[j, j] = pivot
            for i in range(j + 1, size):
                lower[i, j] = lower[i, j] / pivot
            for i in range(j + 1, size):
                factor = lower[i, j]
                for k in range(j + 1, min(i + 1, q)):
                    lower[i, k] -= factor * lower[k, j]
        for i in range(q, size):
            for b in range(q - p):
                panel[b, i] = lower[i, p + b]
        for i in range(q, size):
            row = lower[i]
            for b in range(0, q - p, 4):  # q - p is PANEL here: rows are left only behind whole panels
                f0, f1, f2, f3 = row[p + b], row[p + b + 1], row[p + b + 2], row[p + b + 3]
                t0, t1, t2, t3 = panel[b], panel[b + 1], panel[b + 2], panel[b + 3]
                for k in range(q, i + 1):
                    row[k] = (((row[k] - f0 * t0[k]) - f1 * t1[k]) - f2 * t2[k]) - f3 * t3[k]
    return True


@njit(nogil=True, cache=True)
def forward(lower: Matrix, upper: Matrix, c: Matrix) -> None:
    """Replace each row of `c` by y with lower y = c; `upper` is the transpose of `lower`."""
    size = lower.shape[0]
    for r in range(c.shape[0]):
        y = c[r]
        for k in range(size):
            value = y[k] / lower[k, k]
            y[k] = value
            line = upper[k]
            for i in range(k + 1, size):
                y[i] -= line[i] * value


@njit(nogil=True, cache=True)
def backward(lower: Matrix, y: Matrix) -> None:
    """Replace each row of `y` by x with lower' x = y."""
    size = lower.shape[0]
    for r in range(y.shape[0]):
        x = y[r]
        for k in range(size - 1, -1, -1):
            value = x[k] / lower[k, k]
            x[k] = value
            line = lower[k]
            for i in range(k):
                x[i] -= line[i] * value


@njit(nogil=True, cache=True)
def nearest_plane(lower: Matrix, y: Matrix, high: int, z: Integers) -> None:
    """Write into `z` the integers of a sweep from the last weight to the first, each making up for those before it.

    y: as `forward` gives it; it is used up. H = lower lower'.
    """
    size = lower.shape[0]
    for r in range(y.shape[0]):
        rest = y[r]
        for k in range(size - 1, -1, -1):
            value = min(max(np.rint(rest[k] / lower[k, k]), -float(high)), float(high))
            z[r, k] = np.int64(value)
            line = lower[k]
            for i in range(k):
                rest[i] -= line[i] * value


@njit(nogil=True, cache=True)
def slopes(h: Matrix, c: Matrix, z: Matrix, g: Matrix) -> None:
    """Write H z - c into `g` [O, K]: half the slope of the sum at z, integers or not, as floats."""
    size = h.shape[0]
    for r in range(c.shape[0]):
        row = g[r]
        for k in range(size):
            row[k] = -c[r, k]
        whole = size - size % 4
        for j in range(0, whole, 4):
            z0, z1, z2, z3 = z[r, j], z[r, j + 1], z[r, j + 2], z[r, j + 3]
            h0, h1, h2, h3 = h[j], h[j + 1], h[j + 2], h[j + 3]
            for k in range(size):
                row[k] = (((row[k] + z0 * h0[k]) + z1 * h1[k]) + z2 * h2[k]) + z3 * h3[k]
        for j in range(whole, size):
            value, line = z[r, j], h[j]
            for k in range(size):
                row[k] += value * line[k]


@njit(nogil=True, cache=True)
def descend(h: Matrix, g: Matrix, z: Integers, order: Integers, high: int, sweeps: int) -> None:
    """Move one weight after the other to its best integer, in `order`, until none moves or `sweeps` are done.

    g: as `slopes` gives it, kept up to date.
    """
    size = h.shape[0]
    for r in range(z.shape[0]):
        row = g[r]
        for _ in range(sweeps):
            moved = False
            for j in order:
                if not h[j, j] > 0.0:
                    continue
                old = float(z[r, j])
                new = min(max(old + np.rint(-row[j] / h[j, j]), -float(high)), float(high))
                step = new - old
                # a tie, or the last bit of a slope, must not move a weight to and fro
                if step == 0.0 or not step * (step * h[j, j] + 2.0 * row[j]) < 0.0:
                    continue
                moved = True
                z[r, j] = np.int64(new)
                line = h[j]
                for k in range(size):
                    row[k] += step * line[k]
            if not moved:
                break


@njit(nogil=True, cache=True)
def descend_pairs(h: Matrix, g: Matrix, z: Integers, order: Integers, high: int, sweeps: int) -> None:  # noqa: C901
    """Move two weights by one step each where that lowers the sum, until no pair does or `sweeps` are done.

    Each weight, in `order`, goes downhill together with its best partner. g: as `slopes` gives it, kept up to date.
    """
    size = h.shape[0]
    gain = np.empty(size)
    for r in range(z.shape[0]):
        row, integers = g[r], z[r]
        for _ in range(sweeps):
            moved = False
            for j in order:
                first = 1.0 if row[j] <= 0.0 else -1.0
                if abs(float(integers[j]) + first) > high or not h[j, j] > 0.0:
                    continue
                line = h[j]
                cost = h[j, j] + 2.0 * first * row[j]
                for k in range(size):
                    gain[k] = h[k, k] - 2.0 * abs(row[k] + first * line[k])
                gain[j] = 0.0
                best, partner = 0.0, -1
                for k in range(size):
                    if gain[k] < best:
                        second = -1.0 if row[k] + first * line[k] > 0.0 else 1.0
                        if abs(float(integers[k]) + second) <= high:
                            best, partner = gain[k], k
                # the margin keeps rounding errors of the slopes from moving a pair to and fro
                if partner < 0 or not cost + best < -1e-9 * h[j, j]:
                    continue
                moved = True
                second = -1.0 if row[partner] + first * line[partner] > 0.0 else 1.0
                integers[j] += np.int64(first)
                integers[partner] += np.int64(second)
                other = h[partner]
                for k in range(size):
                    row[k] += first * line[k]
                    row[k] += second * other[k]
            if not moved:
                break


@njit(nogil=True, cache=True)
def enumerate_planes(lower: Matrix, y: Matrix, high: int, z: Integers, most: int) -> None:  # noqa: C901, PLR0912
    """Replace rows of `z` by the integers with the least |lower' z - y|^2, where there are better ones.

    Depth first from the last weight, nearest integers first (Schnorr and Euchner 1994), at most `most` steps a row:
    the best found by then stands. y: as `forward` gives it.
    """
    size = lower.shape[0]
    centre = np.empty(size)  # of the interval of each weight, given those behind it
    spent = np.zeros(size + 1)  # what the weights behind have cost
    tried = np.zeros(size)
    step = np.zeros(size)
    low_end, high_end = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    sums = np.zeros((size + 1, size))  # sums[k, i]: what is left of y[i] when the weights k.. are set
    for r in range(z.shape[0]):
        radius = 0.0
        for i in range(size):
            sums[size, i] = y[r, i]
        for i in range(size - 1, -1, -1):
            rest = y[r, i]
            for j in range(i, size):
                rest -= lower[j, i] * float(z[r, j])
            radius += rest * rest
        radius *= 1.0 - 1e-12  # an equal one is none better
        k = size - 1
        spent[size] = 0.0
        fresh = True
        for _ in range(most):
            if fresh:
                centre[k] = sums[k + 1, k] / lower[k, k]
                tried[k] = min(max(np.rint(centre[k]), -float(high)), float(high))
                step[k] = 1.0 if centre[k] >= tried[k] else -1.0
                low_end[k], high_end[k] = tried[k] <= -high, tried[k] >= high
                fresh = False
            error = lower[k, k] * (centre[k] - tried[k])
            total = spent[k + 1] + error * error
            if total < radius:
                if k > 0:
                    for i in range(k):
                        sums[k, i] = sums[k + 1, i] - lower[k, i] * tried[k]
                    spent[k] = total
                    k -= 1
                    fresh = True
                    continue
                radius = total
                for i in range(size):
                    z[r, i] = np.int64(tried[i])
                # nothing nearer is left for the first weight: its integers come by distance
            k += 1
            if k == size:
                break
            while not _next(k, float(high), tried, step, low_end, high_end):
                k += 1
                if k == size:
                    break
            if k == size:
                break


@njit(nogil=True, cache=True)
def _next(
    k: int, high: float, tried: Matrix, step: Matrix, low_end: NDArray[np.bool_], high_end: NDArray[np.bool_]
) -> bool:
    """Move `tried[k]` to the next nearest integer within the ends; False: there is none.

    step: from the integer tried last to the next one, alternating and growing; at an end it goes on one by one.
    """
    while True:
        if low_end[k] and high_end[k]:
            return False
        value = tried[k] + step[k]
        step[k] = -step[k] - 1.0 if step[k] > 0.0 else -step[k] + 1.0
        tried[k] = value
        if value > high:
            high_end[k] = True
        elif value < -high:
            low_end[k] = True
        else:
            return True
