"""One layer's weights and biases from its moments, and what they cost on images that were left out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.rounding.moments import Moments
from slimai.quantizer.rounding.solver import best_integers, least_squares, residual, sums

Vector = NDArray[np.float64]
ENOUGH = 4  # samples a weight, from which on moments are taken as they are
PULLS = (math.inf, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001)  # of the diagonal of H, towards the float weights
FEW_PULLS = {2048: (0, 3, 5), math.inf: (0, 3)}  # weights of a row up to which these are tried: each is a factor of K^3
ALL_PULLS = 1024
RIDGE = 1e-4  # of the mean diagonal: what no image shows stays with the float weights


@dataclass(frozen=True, eq=False)
class Fitted:
    """Integers [G, O, K] and the real bias [G, O] that goes with them."""

    integers: NDArray[np.int64]
    bias: Vector


@dataclass(frozen=True, eq=False)
class Trust:
    """Which of `PULLS` holds the ideal weights of each channel to the float ones: [G, O] indices."""

    choices: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem:
    """A layer whose integers are to be found.

    weights: [G, O, K] real. scale: [G, O] of the integer weights. input_scale: of the integers that the layer reads.
    units: [G, O] of the moments' targets. high: largest integer. biased: whether the layer has a place for the bias
    that makes up for the mean error; without one the weights answer for the mean too.
    """

    weights: Vector
    scale: Vector
    input_scale: float
    units: Vector
    high: int
    biased: bool = True

    def fitted(self, moments: Moments, trust: Trust) -> Fitted:
        """Return the integers with the least output error over the samples of `moments`, and their bias."""
        integers = np.stack([self._group(moments, index, trust) for index in range(len(self.weights))])
        return Fitted(integers, self.bias(integers, moments))

    def _group(self, moments: Moments, index: int, trust: Trust) -> NDArray[np.int64]:
        h, c, start = self._shrunk(moments, index)
        rest, ideal = residual(h, c, start), start.copy()
        for choice in np.unique(trust.choices[index]):
            rows = trust.choices[index] == choice
            ideal[rows] = _ideal(h, rest[rows], start[rows], PULLS[choice])
        return best_integers(h, residual(h, np.zeros_like(c), ideal), ideal, self.high)

    def trusted(self, moments: Moments, held: Moments) -> Trust:
        """Return how far each channel's ideal weights may leave the float ones, by the error on held-out samples."""
        found = [self._trusted(moments, held, index) for index in range(len(self.weights))]
        return Trust(np.stack(found))

    def _trusted(self, moments: Moments, held: Moments, index: int) -> NDArray[np.int64]:
        h, c, start = self._shrunk(moments, index)
        true_h, true_c = self._centred(held, index)
        rest, tried = residual(h, c, start), np.array(tried_pulls(len(h)))
        errors = [sums(true_h, true_c, _ideal(h, rest, start, PULLS[choice])) for choice in tried]
        chosen: NDArray[np.int64] = tried[np.argmin(np.stack(errors), axis=0)]
        return chosen

    def _shrunk(self, moments: Moments, index: int) -> tuple[Vector, Vector, Vector]:
        """Return H, c and the float weights in steps; what few samples say is drawn to the diagonal."""
        h, c = self._centred(moments, index)
        diagonal, start = np.diag(h).copy(), self.weights[index] / self.scale[index][:, None]
        share = shrinkage(moments.count, len(diagonal))
        ridge = RIDGE * diagonal.mean()
        h, c = (1 - share) * h, (1 - share) * c
        h[np.diag_indices(len(diagonal))] += share * diagonal + ridge
        c += (share * diagonal + ridge) * start
        return h, c, start

    def _centred(self, moments: Moments, index: int) -> tuple[Vector, Vector]:
        """Return H [K, K] in squares of the input's integers, and c [O, K] in those by steps of the weights."""
        count = moments.count
        v, y = (part[index] / count * self.biased for part in (moments.v, moments.y))  # what the bias takes over
        h = moments.vv[index] / count - np.outer(v, v)
        cross = (moments.vy[index] / count - np.outer(v, y)).T
        return h, cross * (self.units[index] / (self.input_scale * self.scale[index]))[:, None]

    def bias(self, integers: NDArray[np.int64], moments: Moments) -> Vector:
        """Return [G, O] the real bias with which the mean output is the one meant; zeros where there is no place."""
        if not self.biased:
            return np.zeros(self.units.shape)
        v, y = moments.v / moments.count, moments.y / moments.count
        reached = np.stack([_product(part, mean) for part, mean in zip(integers.astype(float), v, strict=True)])
        bias: Vector = self.units * y - self.input_scale * self.scale * reached
        return bias

    def error(self, integers: NDArray[np.int64], bias: Vector, moments: Moments) -> float:
        """Return the mean squared error of the layer's output, over the samples of `moments` and all channels."""
        step = np.square(self.input_scale * self.scale)
        spread = moments.yy / moments.count - np.square(moments.y / moments.count) * self.biased
        shift = np.square(self.bias(integers, moments) - bias)
        total = float((spread * np.square(self.units) + shift).sum())
        for index, part in enumerate(integers):
            total += float((step[index] * sums(*self._centred(moments, index), part.astype(np.float64))).sum())
        return total / self.scale.size


def tried_pulls(inputs: int) -> tuple[int, ...]:
    """Return the indices of the `PULLS` that are tried for rows of so many weights."""
    if inputs <= ALL_PULLS:
        return tuple(range(len(PULLS)))
    return next(choices for most, choices in FEW_PULLS.items() if inputs <= most)


def _ideal(h: Vector, rest: Vector, start: Vector, pull: float) -> Vector:
    """Return the real weights, in steps, that would make up for what the layers before have done to the input.

    rest: H start - c. pull: how strongly they are held to `start`, as a share of the diagonal of H.
    """
    if pull == math.inf:
        return start
    found = least_squares(h, rest, start, pull * np.diag(h))
    return start if found is None else found


def shrinkage(samples: int, inputs: int) -> float:
    """Return the share of the diagonal in H and C: 0 with four samples a weight, K / N with fewer."""
    return 0.0 if samples >= ENOUGH * inputs else min(1.0, inputs / max(samples, 1))


def _product(rows: Vector, mean: Vector) -> Vector:
    """Return rows @ mean, summed in one order whatever library multiplies matrices."""
    total: Vector = np.zeros(len(rows))
    for column, value in zip(rows.T, mean, strict=True):
        total += column * value
    return total
