"""Accuracy aids that cost the target nothing, and which are on by default at which level (SPEC 8.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Choice = bool | Literal["auto"]
Correction = Literal[False, "auto", "analytic", "empirical"]


@dataclass(frozen=True)
class Rewrites:
    """The aids that make another float network of the network; it is calibrated by itself."""

    equalization: bool = False
    clamps: bool = False
    bias_absorption: bool = False


AS_IT_IS = Rewrites()


@dataclass(frozen=True)
class Aids:
    """What is switched on.

    equalization: channels share their ranges across layers. clamps: also through Relu6 and Clip, where the target has
    a clamp per channel. bias_absorption: what channels always exceed moves into
    the next layer's bias. bias_correction: biases take the mean error of the weights, from calibration's channel
    means. empirical: the winner's biases are corrected from its own outputs. weight_clipping: weights are clipped
    where that lowers their squared error.
    """

    equalization: bool = False
    clamps: bool = False
    bias_absorption: bool = False
    bias_correction: bool = False
    empirical: bool = False
    weight_clipping: bool = False

    @property
    def rewrites(self) -> Rewrites:
        """Those that change the float network."""
        return Rewrites(self.equalization, self.equalization and self.clamps, self.bias_absorption)


# Chosen by the outputs' signal-to-noise ratio over eleven real networks; docs/accuracy.md has the table and its limits.
DEFAULTS: dict[int, Aids] = {
    # with a scale a channel there is nothing to win behind a clamp: measured, it loses 1 to 2 dB at levels 1 to 3
    0: Aids(equalization=True, clamps=True, bias_correction=True),
    1: Aids(equalization=True, bias_correction=True),
    2: Aids(equalization=True, bias_correction=True),
    3: Aids(equalization=True, bias_correction=True),
    4: Aids(equalization=True),  # changes nothing to speak of, and all levels start from one float network
}


def aids_for(
    level: int, equalization: Choice, bias_absorption: Choice, bias_correction: Correction, weight_clipping: Choice
) -> Aids:
    """Return the aids of a level: what the user set, and the level's default where that is ``auto``."""
    default = DEFAULTS[level]
    analytic = default.bias_correction if bias_correction == "auto" else bool(bias_correction)
    return Aids(
        equalization=default.equalization if equalization == "auto" else equalization,
        clamps=default.clamps if equalization == "auto" else equalization,
        bias_absorption=default.bias_absorption if bias_absorption == "auto" else bias_absorption,
        bias_correction=analytic,
        empirical=default.empirical if bias_correction == "auto" else bias_correction == "empirical",
        weight_clipping=default.weight_clipping if weight_clipping == "auto" else weight_clipping,
    )
