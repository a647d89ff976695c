"""What weight rounding found for each layer, as values and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight


@dataclass(frozen=True)
class LayerReport:
    """What the held-out images say of one layer, before the refit on all: mean squared errors of its output.

    node: name in the float network. why: why the layer stays at nearest; empty where its rounding is kept.
    samples: rows of the fit, over all images. The errors are None where nothing was fitted.
    """

    node: str
    why: str = ""
    samples: int = 0
    inputs: int = 0
    nearest_error: float | None = None
    rounded_error: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the layer has rounded weights."""
        return not self.why


@dataclass(frozen=True, eq=False)
class RoundedLayer:
    """A layer's integers at a scale, [1] or [O] as in `QWeight`, and the real bias [O] that goes with them."""

    weight: QWeight
    bias: NDArray[np.float64]

    def quantized(self, dtype: str, scale: NDArray[np.float64]) -> QWeight | None:
        """Return the weight for a layer of this type and scale, or None where it has another grid."""
        own = self.weight
        return own if own.dtype is INT_TYPES[dtype] and np.array_equal(own.scale, scale) else None


@dataclass(frozen=True, eq=False)
class Rounding:
    """Node name -> rounded layer, for the layers that keep it, and a report of every weighted layer in order."""

    layers: Mapping[str, RoundedLayer] = field(default_factory=dict)
    reports: tuple[LayerReport, ...] = ()
