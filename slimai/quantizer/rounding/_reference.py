"""NumPy twins of `_kernels`: the same operations on floats in the same order, hence the same integers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]


def cholesky(lower: Matrix) -> bool:
    """See `_kernels.cholesky`; the upper triangle is left as it was."""
    for j in range(len(lower)):
        if not lower[j, j] > 0.0:
            return False
        lower[j, j] = np.sqrt(lower[j, j])
        lower[j + 1 :, j] /= lower[j, j]
        column = lower[j + 1 :, j]
        rest = lower[j + 1 :, j + 1 :]
        rest -= np.tril(np.outer(column, column))
    return True


def forward(lower: Matrix, upper: Matrix, c: Matrix) -> None:
    """See `_kernels.forward`."""
    for k in range(len(lower)):
        c[:, k] /= lower[k, k]
        c[:, k + 1 :] -= np.outer(c[:, k], upper[k, k + 1 :])


def backward(lower: Matrix, y: Matrix) -> None:
    """See `_kernels.backward`."""
    for k in range(len(lower) - 1, -1, -1):
        y[:, k] /= lower[k, k]
        y[:, :k] -= np.outer(y[:, k], lower[k, :k])


def nearest_plane(lower: Matrix, y: Matrix, high: int, z: Integers) -> None:
    """See `_kernels.nearest_plane`."""
    for k in range(len(lower) - 1, -1, -1):
        value = np.clip(np.rint(y[:, k] / lower[k, k]), -float(high), float(high))
        z[:, k] = value.astype(np.int64)
        y[:, :k] -= np.outer(value, lower[k, :k])


def slopes(h: Matrix, c: Matrix, z: Matrix, g: Matrix) -> None:
    """See `_kernels.slopes`."""
    g[:] = -c
    for j in range(len(h)):
        g += np.outer(z[:, j], h[j])


def descend(h: Matrix, g: Matrix, z: Integers, order: Integers, high: int, sweeps: int) -> None:
    """See `_kernels.descend`."""
    for row, integers in zip(g, z, strict=True):  # both are written into
        for _ in range(sweeps):
            before = integers.copy()
            for j in order:
                if not h[j, j] > 0.0:
                    continue
                old = float(integers[j])
                new = float(np.clip(old + np.rint(-row[j] / h[j, j]), -float(high), float(high)))
                step = new - old
                if step == 0.0 or not step * (step * h[j, j] + 2.0 * row[j]) < 0.0:
                    continue
                integers[j] = int(new)
                row[:] += step * h[j]
            if np.array_equal(before, integers):
                break


def descend_pairs(h: Matrix, g: Matrix, z: Integers, order: Integers, high: int, sweeps: int) -> None:
    """See `_kernels.descend_pairs`."""
    diagonal = np.diag(h)
    for row, integers in zip(g, z, strict=True):  # both are written into
        for _ in range(sweeps):
            moved = False
            for j in order:
                first = 1.0 if row[j] <= 0.0 else -1.0
                if abs(integers[j] + first) > high or not h[j, j] > 0.0:
                    continue
                slope = row + first * h[j]
                second = np.where(slope > 0.0, -1.0, 1.0)
                gain = np.where(np.abs(integers + second) <= high, diagonal - 2.0 * np.abs(slope), math.inf)
                gain[j] = math.inf
                partner = int(np.argmin(gain)) if len(gain) else 0
                cost = h[j, j] + 2.0 * first * row[j]
                if not gain[partner] < 0.0 or not cost + gain[partner] < -1e-9 * h[j, j]:
                    continue
                moved = True
                integers[j] += int(first)
                integers[partner] += int(second[partner])
                row[:] += first * h[j]
                row[:] += second[partner] * h[partner]
            if not moved:
                break


def enumerate_planes(lower: Matrix, y: Matrix, high: int, z: Integers, most: int) -> None:
    """See `_kernels.enumerate_planes`; recursive where that one keeps arrays of its own."""
    for centre, integers in zip(y, z, strict=True):
        _Search(lower, high, integers, most).run(centre)


class _Search:
    """The enumeration of one row."""

    def __init__(self, lower: Matrix, high: int, best: Integers, most: int) -> None:
        self.lower, self.high, self.best, self.left = lower, high, best, most
        self.tried: Integers = np.zeros(len(lower), np.int64)
        self.radius = 0.0

    def run(self, y: Matrix) -> None:
        size = len(self.lower)
        for i in range(size - 1, -1, -1):
            rest = y[i]
            for j in range(i, size):
                rest = rest - self.lower[j, i] * float(self.best[j])
            self.radius += rest * rest
        self.radius *= 1.0 - 1e-12
        self._level(size - 1, y.copy(), 0.0)

    def _level(self, k: int, rest: Matrix, spent: float) -> None:
        centre = float(rest[k] / self.lower[k, k])
        for value in nearest_first(centre, self.high):
            if self.left == 0:
                return
            self.left -= 1
            error = float(self.lower[k, k]) * (centre - value)
            total = spent + error * error
            if not total < self.radius:
                return
            self.tried[k] = value
            if k == 0:
                self.radius = total
                self.best[:] = self.tried
                return
            self._level(k - 1, rest - self.lower[k] * float(value), total)


def nearest_first(centre: float, high: int) -> list[int]:
    """Return the integers -high..high, the nearest to `centre` first; of two as near, the one that rint gives."""
    start = int(min(max(np.rint(centre), -high), high))
    side = 1 if centre >= start else -1
    walk = [start]
    for distance in range(1, 2 * high + 1):
        walk += [start + side * distance, start - side * distance]
    return [value for value in walk if -high <= value <= high]
