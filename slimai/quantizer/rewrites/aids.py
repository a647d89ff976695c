"""Accuracy aids that cost the target nothing, and which are on by default at which level (SPEC 8.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Choice = bool | Literal["auto"]


Correction = Literal[False, "auto", "analytic", "empirical"]


@dataclass(frozen=True)
class Rewrites:
    """The aids that make another float network of the network; it is calibrated by itself.

    judged: groups of channels are equalized where predicted noise falls, of weights with one scale a tensor or a
    channel; None: all are. groups: at most so many of them. seams: depthwise convolutions behind joins are split.
    """

    equalization: bool = False
    clamps: bool = False
    bias_absorption: bool = False
    channel_clustering: bool = False
    all_chains: bool = False
    judged: Literal["tensor", "channel"] | None = None
    groups: int | None = None
    seams: bool = False


AS_IT_IS = Rewrites()


@dataclass(frozen=True)
class Aids:
    """What is switched on.

    equalization: channels share their ranges across layers. clamps: also through Relu6 and Clip, where the target has
    a clamp per channel. bias_absorption: what channels always exceed moves into
    the next layer's bias. bias_correction: biases take the mean error of the weights, from calibration's channel
    means. empirical: the winner's biases are corrected from its own outputs. weight_clipping: weights are clipped
    where that lowers their squared error. tail_clipping: limits end where the only readers, saturating functions, are
    flat. channel_clustering: before depthwise convolutions channels of like range become layers of their own, where
    equalization cannot even them out. all_chains: also where it can. judged, groups, seams: as in `Rewrites`; seams of
    None: where the outputs gain by it.
    """

    equalization: bool = False
    clamps: bool = False
    bias_absorption: bool = False
    bias_correction: bool = False
    empirical: bool = False
    weight_clipping: bool = False
    tail_clipping: bool = False
    channel_clustering: bool = False
    all_chains: bool = False
    judged: Literal["tensor", "channel"] | None = None
    groups: int | None = None
    seams: bool | None = False

    @property
    def rewrites(self) -> Rewrites:
        """Those that change the float network."""
        return Rewrites(
            self.equalization,
            self.equalization and self.clamps,
            self.bias_absorption,
            self.channel_clustering,
            self.channel_clustering and self.all_chains,
            self.judged if self.equalization else None,
            self.groups if self.equalization else None,
            bool(self.seams),
        )


_ALWAYS = Aids(equalization=True, tail_clipping=True, channel_clustering=True)


# Chosen by the outputs' signal-to-noise ratio over eleven real networks; docs/accuracy.md has the table and its limits.
DEFAULTS: dict[int, Aids] = {
    # with a scale a channel there is nothing to win behind a clamp: measured, it loses 1 to 2 dB at levels 1 to 3
    0: replace(_ALWAYS, clamps=True, bias_correction=True),
    1: replace(_ALWAYS, bias_correction=True),
    2: replace(_ALWAYS, bias_correction=True),
    3: replace(_ALWAYS, bias_correction=True),
    4: _ALWAYS,  # equalization changes nothing to speak of, and all levels start from one float network
}


@dataclass(frozen=True)
class Choices:
    """What the user set of each aid; ``auto`` is the level's default."""

    equalization: Choice = "auto"
    bias_absorption: Choice = "auto"
    bias_correction: Correction = "auto"
    weight_clipping: Choice = "auto"
    tail_clipping: Choice = "auto"
    channel_clustering: Choice = "auto"


def aids_for(level: int, choices: Choices) -> Aids:
    """Return the aids of a level: what the user set, and the level's default where that is ``auto``."""
    default = DEFAULTS[level]
    correction = choices.bias_correction
    auto = correction == "auto"

    def chosen(name: str) -> bool:
        choice: Choice = getattr(choices, name)
        return bool(getattr(default, name)) if choice == "auto" else choice

    return Aids(
        equalization=chosen("equalization"),
        clamps=default.clamps if choices.equalization == "auto" else choices.equalization,
        bias_absorption=chosen("bias_absorption"),
        bias_correction=default.bias_correction if auto else bool(correction),
        empirical=default.empirical if auto else correction == "empirical",
        weight_clipping=chosen("weight_clipping"),
        tail_clipping=chosen("tail_clipping"),
        channel_clustering=chosen("channel_clustering"),
        all_chains=choices.channel_clustering is True,
        judged=("tensor" if level == 0 else "channel") if choices.equalization == "auto" else None,
        seams=_seams(level, choices.channel_clustering),
    )


def _seams(level: int, clustering: Choice) -> bool | None:
    """Return whether depthwise convolutions behind joins are split; on auto 8 bits are measured, 16 have enough."""
    if clustering == "auto":
        return None if level < 4 else False
    return clustering
