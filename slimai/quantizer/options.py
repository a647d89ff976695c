"""What a plan is built from, beside network and statistics: one candidate's settings and the target's abilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import IntType
from slimai.quantizer.rounding.result import RoundedLayer

Method = Literal["ImprovedMSE", "ImprovedKL", "MeanExtrema"]


class Target(Protocol):
    """The abilities of a target that decide parameters (the section `target` has them)."""

    @property
    def per_channel_ops(self) -> Sequence[str]:
        """Operators whose weights may have one scale an output channel."""


@dataclass(frozen=True)
class VisionDsp:
    """The default target's abilities."""

    per_channel_ops: tuple[str, ...] = ("Conv", "ConvTranspose", "LSTM", "GRU")


@dataclass(frozen=True)
class QuantOptions:
    """One candidate.

    level: accuracy level 0..4. percent, range_mode: the `range` setting. method: a calibration method, which takes
    the place of the range. level4_weights: s16, or s8 for 16x8; also
    what 16-bit nodes of a mixed network take. limits: final limits by tensor, from an edited profile; never scaled
    again. datatypes: node name -> (bits read, bits written), from mixed-precision rules. nonnegative_inputs: network
    inputs that cannot be negative. bias_offsets: node name -> [O] added to the float bias. bias_correction: the
    analytic one, from per-channel means. weight_clipping: weights are clipped where that lowers their squared error.
    tail_clipping: limits end where the only readers, saturating functions, are flat. rounding: node name -> weights
    rounded to keep the layer's output; in them it takes the place of the analytic bias correction. weight_bits: 4 gives
    the layers of `weight_types.four_bit_layers` s4 weights. weights: node name -> type of its weights, from
    mixed-precision rules. narrow_clipping: the scale of s4 weights is that of the least squared error, not the peak's.
    """

    level: int = 1
    percent: float = 100.0
    range_mode: Literal["scale", "percentile"] = "scale"
    method: Method | None = None
    level4_weights: Literal["s16", "s8"] = "s16"
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    datatypes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    nonnegative_inputs: tuple[str, ...] = ()
    bias_offsets: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    bias_correction: bool = False
    weight_clipping: bool = False
    tail_clipping: bool = False
    rounding: Mapping[str, RoundedLayer] = field(default_factory=dict)
    weight_bits: Literal[8, 4] = 8
    weights: Mapping[str, IntType] = field(default_factory=dict)
    narrow_clipping: bool = True
