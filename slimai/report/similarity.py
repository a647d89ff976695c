"""How like two tensors are: cosine similarity and signal-to-quantization-noise ratio over a set of images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.report.decibels import decibel

MOST_RATIO = 1e6  # noise over signal, -60 dB: shown where the signal is nothing


@dataclass
class Likeness:
    """Likeness of one tensor to its float twin.

    cosine: one number an image, averaged. signal, noise: sums of squares over all images, so that images with small
    values do not weigh more than their share.
    """

    cosines: list[float] = field(default_factory=list)
    signal: float = 0.0
    noise: float = 0.0

    def add(self, sums: NDArray[np.float64]) -> None:
        """Take in one image: sums [4] of f*f, r*r, f*r, (f-r)^2 over its elements."""
        ff, rr, fr, ee = (float(value) for value in sums)
        self.cosines.append(cosine(ff, rr, fr))
        self.signal += ff
        self.noise += ee

    @property
    def cosine(self) -> float:
        """Mean cosine similarity over the images, in -1..1."""
        return math.fsum(self.cosines) / max(len(self.cosines), 1)

    @property
    def noise_ratio(self) -> float:
        """Noise over signal, see `finite_ratio`."""
        return finite_ratio(self.noise, self.signal)

    @property
    def sqnr(self) -> float:
        """Signal-to-quantization-noise ratio in dB, within -60..200."""
        return decibel(self.noise_ratio)


def cosine(ff: float, rr: float, fr: float) -> float:
    """Return fr / sqrt(ff * rr); two all-zero tensors are alike (1), one of them is not (0)."""
    if ff == 0.0 or rr == 0.0:
        return 1.0 if ff == rr else 0.0
    return max(-1.0, min(1.0, fr / (math.sqrt(ff) * math.sqrt(rr))))


def finite_ratio(noise: float, signal: float) -> float:
    """Return noise / signal; 0 without noise, and at most 1e6, which stands for noise on an all-zero tensor too."""
    if noise <= 0.0:
        return 0.0
    return MOST_RATIO if noise >= signal * MOST_RATIO else noise / signal


def compare_image(truth: NDArray[Any], found: NDArray[Any], params: QParams | None) -> NDArray[np.float64]:
    """Return the sums [4] that `Likeness.add` takes, of one image; `params` None when `found` holds real values."""
    from slimai.report._kernels import compare  # noqa: PLC0415 - spares numba

    sums = np.zeros(4)
    scale, zero = (1.0, 0.0) if params is None else (params.scale, float(params.zero_point))
    compare(flat(truth, np.float32), flat(found), scale, zero, sums)
    return sums


def flat(values: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
    """Return the elements in logical (C) order as one contiguous axis, whatever the memory layout."""
    return np.ascontiguousarray(values, dtype).reshape(-1)
