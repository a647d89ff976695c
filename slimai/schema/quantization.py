"""Section `quantization`: levels, ranges, calibration method, mixed precision, accuracy aids."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from slimai.schema.base import Int, Real, Section, legacy, wrong
from slimai.schema.limits import METHODS, LimitsEntries
from slimai.schema.percent import PercentileRange, PercentRange
from slimai.schema.values import AbsPath, Auto, Bytes, Flag, Levels, Switch, distinct, listed, one_or_list

Method = Literal["ImprovedMSE", "ImprovedKL", "MeanExtrema"]
RANGE_BINS, SEARCH_BINS = 2048, 10240  # of histograms where `histogram_bins` is not set: of `range`, of `limits`
Methods = Annotated[
    tuple[Method, ...],
    BeforeValidator(listed),
    AfterValidator(distinct("calibration methods")),
    WithJsonSchema(one_or_list({"type": "string", "enum": list(METHODS)})),
]


WeightRounding = Literal["nearest", "compensated", "auto"]


def _whole(value: object) -> object:
    """Refuse true and 8.0, and read '8': Python counts true as 1, and a command line gives text."""
    if isinstance(value, bool | float):
        raise wrong("should be 8 or 4, a whole number", "write 8 or 4")
    return int(value) if isinstance(value, str) and value.strip() in {"4", "8"} else value


def _auto_alone(chosen: tuple[WeightRounding, ...]) -> tuple[WeightRounding, ...]:
    if "auto" in chosen and len(chosen) > 1:
        raise wrong("auto stands alone: a list tries nearest and compensated", "write auto, or [nearest, compensated]")
    return chosen


WeightRoundings = Annotated[
    tuple[WeightRounding, ...],
    BeforeValidator(listed),
    AfterValidator(distinct("weight roundings")),
    AfterValidator(_auto_alone),
    WithJsonSchema(one_or_list({"type": "string", "enum": ["nearest", "compensated", "auto"]})),
]


class MixGoal(Section):
    """What `mix: auto` has to reach, or may spend; exactly one of them."""

    max_drop: Annotated[Real, Field(ge=0, le=1)] | None = Field(
        default=None, description="Largest loss of score against the float network."
    )
    score: Annotated[Real, Field(ge=0, le=1)] | None = Field(default=None, description="Smallest score.")
    latency_ms: Annotated[Real, Field(gt=0)] | None = Field(
        default=None, description="Largest estimated time of a frame, in ms."
    )
    weight_bytes: Annotated[Bytes, Field(ge=1)] | None = Field(
        default=None, description="Most bytes of integer weights, like 300KiB."
    )
    arena_bytes: Annotated[Bytes, Field(ge=1)] | None = Field(
        default=None, description="Most bytes of the activations' memory on the target, like 64KiB."
    )
    max_share: Annotated[Real, Field(ge=0, le=1)] | None = Field(
        default=None, description="Largest part of the multiply-accumulates in layers that read 16 bit."
    )


class QuantizationSection(Section):
    """How the network becomes integers, and which settings are tried."""

    accuracy_level: Levels = Field(
        default=(1,),
        description="0: s8 per tensor; 1: + per-channel convolution weights; 2: + u8 where not negative; "
        "3: asymmetric u8; 4: s16. A list searches over several.",
        json_schema_extra=legacy("quantization.accuracy_level"),
    )
    range: PercentRange = Field(
        default=PercentileRange(Decimal(100), Decimal(100)),
        description="Percent of the float range that is kept: the quoted string 'lo:hi:step' (stop included), "
        "'lo:hi' or one number; above 0, at most 100. Ignored with `histogram_bins`.",
        json_schema_extra=legacy("quantization.range"),
    )
    range_mode: Literal["scale", "percentile"] = Field(
        default="scale",
        description="scale: the calibrated limits times range/100; percentile: the central part of the histogram.",
    )
    histogram_bins: Annotated[Int, Field(ge=16, le=1_048_576)] | None = Field(
        default=None,
        description="Bins of each tensor's histogram; set = single-shot calibration (10240 advised), no range "
        "sweep. Beside `limits` it is only the number of bins (10240 there).",
        json_schema_extra=legacy("quantization.histogram_bins"),
    )
    calibration: Methods = Field(
        default=("ImprovedMSE",),
        description="What single-shot calibration takes: limits of least squared error or divergence, or the mean of "
        "each calibration image's own minimum and maximum; a list tries all.",
        json_schema_extra=legacy("quantization.calibration"),
    )
    limits: LimitsEntries = Field(
        default=None,
        description="A list of 'range R', 'percentile P', ImprovedMSE, ImprovedKL, MeanExtrema: every level is tried "
        "with each of them, from one calibration pass; auto = range 100, percentile 99.99, percentile 99.9, "
        "ImprovedMSE, MeanExtrema. Takes the place of `range`, `range_mode` and `calibration`.",
    )
    mix: Auto = Field(
        default=False,
        description="Mixed 8/16-bit precision: true applies the rules files, auto finds the rules for `mix_goal`.",
        json_schema_extra=legacy("quantization.Mix"),
    )
    mix_goal: MixGoal | None = Field(default=None, description="Goal of `mix: auto`.")
    nodename_datatypes: AbsPath | None = Field(
        default=None,
        description="Rules file by node name (names beat kinds).",
        json_schema_extra=legacy("quantization.nodename_datatypes", "quantization.nodename_datatype"),
    )
    nodekind_datatypes: AbsPath | None = Field(
        default=None,
        description="Rules file by node kind.",
        json_schema_extra=legacy("quantization.nodekind_datatypes", "quantization.nodekind_datatype"),
    )
    level4_weights: Literal["s16", "s8"] = Field(
        default="s16", description="Weights of level 4: s16, or s8 for 16x8 (half the memory, faster)."
    )
    weight_bits: Annotated[Literal[8, 4], BeforeValidator(_whole)] = Field(
        default=8,
        description="Bits of weights at levels 1 to 3. 4: Conv, ConvTranspose, Gemm and MatMul with constant weights "
        "have s4 (-7..7), one scale an output channel; layers with no weighted layer before them, or none behind them, "
        "stay at 8 unless a rule says otherwise. For targets whose `weight_bits` list 4.",
    )
    bias_correction: Annotated[Literal[False, "auto", "analytic", "empirical"], Switch] = Field(
        default="auto",
        description="Correct biases for the mean error of quantized weights; empirical is run for the winner only; "
        "auto = the measured default of the level.",
    )
    equalization: Auto = Field(
        default="auto",
        description="Cross-layer equalization of weight ranges; auto = the level's measured default. On a target with "
        "clamp_per_channel, auto passes through ReLU6 at level 0 and true at every level.",
    )
    bias_absorption: Auto = Field(
        default="auto",
        description="Move what calibrated channels always exceed into the next layer's bias, so that activations "
        "have smaller ranges; auto = the level's measured default.",
    )
    channel_clustering: Auto = Field(
        default="auto",
        description="Run channels of like range as layers of their own before depthwise convolutions, each with its "
        "own scales; auto = where equalization cannot even them out (behind SiLU, HardSwish ...), true = everywhere. "
        "Behind a Concat, split them at its seams; auto = where the outputs gain 2 dB by it.",
    )
    weight_clipping: Auto = Field(
        default="auto", description="Clip weights by squared error; auto = the level's measured default."
    )
    tail_clipping: Auto = Field(
        default="auto",
        description="End the limits of what only SiLU, Sigmoid and the like read where these are flat; "
        "auto = the level's measured default.",
    )
    weight_rounding: WeightRoundings = Field(
        default=("auto",),
        description="How weights become integers: nearest; compensated = each layer's integers are those that keep its "
        "output on the calibration images; a list tries both; auto = the search ranks nearest ones, then what it "
        "delivers is compensated and kept if not worse. Levels 0 to 3.",
    )
    keep_asymmetric_weights: Flag = Field(
        default=False, description="Run asymmetric TFLite weights as stored instead of making them symmetric."
    )

    @property
    def single_shot(self) -> bool:
        """Whether each tensor's limits are solved from its histogram, without a range sweep."""
        return self.histogram_bins is not None and self.limits is None

    @property
    def bins(self) -> int:
        """Fewest bins of a tensor's histogram."""
        return self.histogram_bins or (RANGE_BINS if self.limits is None else SEARCH_BINS)

    @property
    def candidates(self) -> int:
        """Return the number of settings that this section spans."""
        if self.limits is not None:
            ways = len(self.limits)
        else:
            ways = len(self.calibration) if self.single_shot else len(self.range.values())
        return len(self.accuracy_level) * ways * len(self.weight_rounding)
