"""A race with a guarantee: who may be dropped, by confidence sequences for sampling without replacement.

The images of a race are the validation set in a uniformly random order. That candidate s is more than the tolerance
better than candidate m on the whole set is a hypothesis about the mean of N known but unseen differences. A capital
that bets against it image by image, and cannot grow in the mean while it holds, refutes it at any moment at which it
exceeds 1 / error (Ville's inequality). Waudby-Smith and Ramdas, Confidence sequences for sampling without replacement,
2020, and Estimating means of bounded random variables by betting, 2024, section 5.

The race errs only if the best candidate b of the whole set is dropped although it is more than the tolerance above the
winner. Each dropped candidate has a witness that is still in the race; where the witness itself is to be dropped, all
that rely on it get another one first. So only hypotheses about b and one of the other n - 1 matter, and each is tested
at error / (n - 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.search.race import rungs

FIRST_RUNG, GROWTH = 32, 1.25
WITNESSES = 3  # the best so many by what was seen are asked
BETS = 1 - np.geomspace(0.98, 0.02, 20)  # shares of the largest bet; the capital is spread evenly over them
_NEARLY = 1e-12


def certified_rungs(images: int) -> list[int]:
    """Return the growing numbers of images after which a certified race looks; the last is all of them."""
    return rungs(images, FIRST_RUNG, GROWTH)


def refutation(differences: NDArray[np.float64], images: int, tolerance: float) -> float:
    """Return the largest log capital against: the mean of all `images` differences is above `tolerance`.

    differences: [t] those seen, each in -1..1, drawn without replacement. Infinite where what was seen already excludes
    it. Exceeds log(1 / a) with probability a at most while the hypothesis holds, whenever one looks.
    """
    x = (np.asarray(differences, np.float64) + 1) / 2
    if x.size == 0:
        return 0.0
    sums = np.concatenate([[0.0], np.cumsum(x)])
    total = images * (tolerance + 1) / 2
    if images - x.size < total - sums[-1] - _NEARLY * images:  # the rest would have to be above 1
        return math.inf
    left = images - np.arange(x.size)
    means = (total - sums[:-1]) / left  # of what was left, were the hypothesis just true
    if (means > 1 + _NEARLY).any():
        return math.inf
    stakes = (x - means) / np.maximum(1 - means, _NEARLY)
    capital = np.cumsum(np.log1p(-BETS[:, None] * np.minimum(stakes, 1.0)), axis=1)
    peak = capital.max(axis=0)
    mixed = peak + np.log(np.exp(capital - peak).mean(axis=0))
    return max(0.0, float(mixed.max()))


@dataclass(frozen=True)
class _Gone:
    """A dropped candidate: its values on the images that it saw, and the candidate in the race that beats it."""

    values: NDArray[np.float64]
    witness: str


class Certificate:
    """Who was dropped, why that is safe, and whether it still is."""

    def __init__(self, candidates: int, images: int, tolerance: float, error: float) -> None:
        """Of a race of so many different candidates over so many images; error: the probability that it may err."""
        self._images, self._tolerance = images, tolerance
        self._needed = math.log(max(candidates - 1, 1) / error)
        self._gone: dict[str, _Gone] = {}

    def dropped(self, values: Mapping[str, NDArray[np.float64]]) -> set[str]:
        """Return which candidates leave. values: of each that is in the race, [images seen], each in 0..1."""
        alive = sorted(values, key=lambda key: (-float(values[key].mean()), key))
        for key in reversed(alive[1:]):
            witnesses = [name for name in alive if name != key][:WITNESSES]
            moved = self._rewitnessed(key, values, witnesses)
            if moved is not None:
                self._gone.update(moved)
                alive.remove(key)
        return set(values) - set(alive)

    def orphans(self, finalists: Sequence[str]) -> list[str]:
        """Return the dropped candidates whose witness is not among `finalists`: it has failed since."""
        return [key for key, item in self._gone.items() if item.witness not in finalists]

    def _rewitnessed(
        self, key: str, values: Mapping[str, NDArray[np.float64]], witnesses: Sequence[str]
    ) -> dict[str, _Gone] | None:
        """Return the witnesses of `key` and of all that rely on it; None where one of them has none."""
        leaving = {key: values[key]}
        leaving.update({name: item.values for name, item in self._gone.items() if item.witness == key})
        found: dict[str, _Gone] = {}
        for name, own in leaving.items():
            witness = next((other for other in witnesses if self._beaten(own, values[other])), None)
            if witness is None:
                return None
            found[name] = _Gone(own, witness)
        return found

    def _beaten(self, own: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
        return refutation(own - other[: own.size], self._images, self._tolerance) > self._needed
