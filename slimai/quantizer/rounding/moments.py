"""Second moments of a layer's inputs and of the output meant, as exact integer sums.

Inputs are integers of 8 bits less their zero point, or of 16; the output meant is rounded to 16 bits of each channel's
range. Every sum is an integer below 2^53 (of 16 bits: up to 8 million rows), so no order of images, tiles, threads or
workers changes a bit of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array

Vector = NDArray[np.float64]
TARGET_HIGH = 32767
FLOAT32_EXACT = 1 << 24
SMALL = 64  # inputs up to which float64 products cost nothing to speak of


def target_units(y: Array) -> Vector:
    """Return [O] the step of 16 bits in which each channel of y [..., O] is held."""
    peak = np.abs(y.reshape(-1, y.shape[-1])).max(axis=0, initial=0.0).astype(np.float64)
    return np.where(peak > 0, peak / TARGET_HIGH, 1.0)


@dataclass
class Moments:
    """Sums over `count` rows: v [G, K], vv [G, K, K], vy [G, K, O], y and yy [G, O]."""

    count: int
    v: NDArray[np.float64]
    vv: NDArray[np.float64]
    vy: NDArray[np.float64]
    y: NDArray[np.float64]
    yy: NDArray[np.float64]

    @classmethod
    def empty(cls, groups: int, inputs: int, outputs: int) -> Moments:
        """Return sums over nothing."""
        shapes = (
            (groups, inputs),
            (groups, inputs, inputs),
            (groups, inputs, outputs),
            (groups, outputs),
            (groups, outputs),
        )
        return cls(0, *(np.zeros(shape) for shape in shapes))

    def add(self, v: Array, y: Array, largest: int) -> None:
        """Add rows v [G, n, K] and y [n, G * O], both integers; |v| <= largest."""
        targets = y.astype(np.float64).reshape(len(y), len(self.v), -1).transpose(1, 0, 2)
        wide = v.astype(np.float64)
        self.count += len(y)
        self.v += wide.sum(axis=1)
        self.vy += np.matmul(wide.transpose(0, 2, 1), targets)
        self.y += targets.sum(axis=1)
        self.yy += np.square(targets).sum(axis=1)
        if v.shape[2] <= SMALL or largest * largest > FLOAT32_EXACT:
            self.vv += np.matmul(wide.transpose(0, 2, 1), wide)
            return
        narrow, step = v.astype(np.float32), max(1, FLOAT32_EXACT // max(largest * largest, 1))
        for first in range(0, v.shape[1], step):
            part = narrow[:, first : first + step]
            for group, rows in enumerate(part):
                self.vv[group] += rows.T @ rows

    def merged(self, other: Moments) -> Moments:
        """Return the sums over the rows of both."""
        return Moments(
            self.count + other.count,
            self.v + other.v,
            self.vv + other.vv,
            self.vy + other.vy,
            self.y + other.y,
            self.yy + other.yy,
        )
