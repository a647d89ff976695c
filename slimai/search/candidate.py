"""What a search chooses between, and the order of the outcomes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple

Status = Literal["full", "partial", "failed"]


class Variant(StrEnum):
    """What a candidate has beside level and range, in the order in which names have them."""

    PERCENTILE = "percentile"  # the range is the central part of the histogram's mass, not a share of the limits
    CLIP = "clip"  # weights are clipped where that lowers their squared error
    MIX = "mix"  # nodes are raised to a wider type (`Candidate.raised`)
    COMPENSATED = "compensated"  # weights are rounded to keep the output of their layer
    EMPIRICAL = "empirical"  # biases are corrected from the integer network's own outputs


PLAIN: frozenset[Variant] = frozenset()
_MIX = re.compile(rf"{Variant.MIX}([0-9]*)")


@dataclass(frozen=True)
class Candidate:
    """One point of the space: accuracy level, and either a range in percent or a calibration method.

    central: whether the percentage is, by an entry of `limits`, the central part of the histogram's mass.
    own_limits: whether compensated weights are fitted at this candidate's limits, not at the reference setting.
    variant: further settings. raised: names of the nodes that `mix: auto` computes in 16 bit, in graph order.
    trial: the number of that set of nodes among those tried, from 1 on; None: of no set, or of the delivered one.
    """

    level: int
    percent: Decimal | None = None
    method: str | None = None
    variant: frozenset[Variant] = PLAIN
    raised: tuple[str, ...] = ()
    trial: int | None = None
    central: bool = False
    own_limits: bool = False

    @property
    def label(self) -> str:
        """Return the last part of the profile's name: ``96``, ``p99.9``, ``ImprovedMSE`` or ``96_clip``."""
        base = self.method or "" if self.percent is None else format_percent(self.percent)
        base = f"p{base}" if self.central else base
        return f"{base}_{self.variant_name}" if self.variant else base

    @property
    def variant_name(self) -> str:
        """Return the variant as names and journals spell it: ``percentile_clip``, ``mix3``, or an empty string."""
        numbered = "" if self.trial is None else str(self.trial)
        return "_".join(
            option.value + (numbered if option is Variant.MIX else "") for option in Variant if option in self.variant
        )

    def having(self, *options: Variant) -> Candidate:
        """Return the candidate with further settings."""
        return replace(self, variant=self.variant.union(options))

    def without(self, option: Variant) -> Candidate:
        """Return the candidate without a setting."""
        return replace(self, variant=self.variant - {option})

    def profile(self, network: str) -> str:
        """Return the profile's name without suffix, ``<network>_<label>``."""
        return f"{network}_{self.label}"

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that the journal and run.json hold for it."""
        return {
            "accuracy_level": self.level,
            "range": None if self.percent is None else _json_percent(self.percent),
            "range_mode": "percentile" if self.central else None,
            "calibration": self.method,
            "variant": self.variant_name,
            "raised": list(self.raised),
            **({"rounded_at": "own limits"} if self.own_limits else {}),
        }


def candidate_from_json(data: Mapping[str, Any]) -> Candidate:
    """Return the candidate that `Candidate.to_json` wrote."""
    percent = data["range"]
    variant, trial = _variant_of(data["variant"])
    return Candidate(
        data["accuracy_level"],
        None if percent is None else Decimal(str(percent)),
        data["calibration"],
        variant,
        tuple(data.get("raised", ())),
        trial,
        data.get("range_mode") == "percentile",
        data.get("rounded_at") == "own limits",
    )


def _json_percent(percent: Decimal) -> float | str:
    """Return the number, or its text where a float64 is not exactly it: reading it back gives the same decimal."""
    number = float(percent)
    return number if Decimal(str(number)) == percent else format_percent(percent)


def _variant_of(name: str) -> tuple[frozenset[Variant], int | None]:
    """Return the options and the trial's number of a `Candidate.variant_name`."""
    words = name.split("_") if name else []
    numbers = [found[1] for word in words if (found := _MIX.fullmatch(word))]
    options = frozenset(Variant.MIX if _MIX.fullmatch(word) else Variant(word) for word in words)
    return options, int(numbers[0]) if numbers and numbers[0] else None


def format_percent(percent: Decimal) -> str:
    """Return the shortest plain decimal: ``96`` for 96.0, ``99.99`` for 99.990."""
    text = format(percent, "f")  # `normalize` would round to the digits of the context
    return text.rstrip("0").rstrip(".") if "." in text else text


def finite(value: float | None) -> float | None:
    """Return the number, or None for one that is not finite: JSON has no NaN.

    A metric has none where its pictures decide nothing, such as the AP of small objects where there is no small object.
    """
    return value if value is not None and math.isfinite(value) else None


class Cost(NamedTuple):
    """What a candidate costs on the target: the estimated time of a frame, and the bytes of its arena.

    arena: None where layers run on the host, whose memory is not planned.
    """

    latency_ms: float | None = None
    arena: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    value and score are None unless measured; `images` counts those that were scored; a `partial`
    outcome was dropped by racing or by the time limit and never ranks against full ones. A `failed` one could not be
    planned, compiled or run on every image: `note` says why.
    """

    candidate: Candidate
    status: Status
    value: float | None = None
    score: float | None = None
    latency_ms: float | None = None
    images: int = 0
    key: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    note: str = ""
    arena: int | None = None

    @property
    def cost(self) -> Cost:
        """What it costs on the target."""
        return Cost(self.latency_ms, self.arena)

    def to_json(self, network: str) -> dict[str, Any]:
        """Return the mapping that run.json holds for a candidate."""
        return {
            "profile": f"{self.candidate.profile(network)}.yaml",
            **self.candidate.to_json(),
            "value": finite(self.value),
            "score": finite(self.score),
            "latency_ms": self.latency_ms,
            "arena": self.arena,
            "images": self.images,
            "status": self.status,
            "interval": None if self.interval is None else list(self.interval),
            "values": {name: finite(value) for name, value in self.values.items()},
            "key": self.key,
            "note": self.note,
        }


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    """Return the outcome that `Outcome.to_json` wrote."""
    low_high = data["interval"]
    return Outcome(
        candidate=candidate_from_json(data),
        status=data["status"],
        value=data["value"],
        score=data["score"],
        latency_ms=data["latency_ms"],
        images=data["images"],
        key=data["key"],
        values={name: math.nan if value is None else value for name, value in data["values"].items()},
        interval=None if low_high is None else (low_high[0], low_high[1]),
        note=data["note"],
        arena=data["arena"],
    )


def rank_key(outcome: Outcome) -> tuple[float, ...]:
    """Return a sort key, best first.

    Highest score; ties go to the cheaper on the target, then the higher range, then the lower level.
    Partial outcomes come after full ones, failed ones last: a candidate that was not measured is never best.
    """
    group = {"full": 0, "partial": 1, "failed": 2}[outcome.status]
    score = -math.inf if outcome.score is None or math.isnan(outcome.score) else outcome.score
    latency = math.inf if outcome.latency_ms is None else outcome.latency_ms
    percent = outcome.candidate.percent
    return (group, -score, latency, -float(percent if percent is not None else 0), outcome.candidate.level)


def ranked(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return the outcomes, best first; equal keys keep their order."""
    return sorted(outcomes, key=rank_key)


def best(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return the best fully measured outcome, or None."""
    order = [item for item in ranked(outcomes) if item.status == "full"]
    return order[0] if order else None


def corrected_candidate(candidate: Candidate) -> Candidate:
    """Return the candidate with empirically corrected biases."""
    return candidate.having(Variant.EMPIRICAL)


def compensated_candidate(candidate: Candidate, *, own_limits: bool = False) -> Candidate:
    """Return the candidate with weights that are rounded to keep the output of their layer.

    own_limits: at this candidate's limits; otherwise at the reference setting, which all candidates share.
    """
    return replace(candidate.having(Variant.COMPENSATED), own_limits=own_limits)


STORED = "stored"  # in the place of a calibration method: the parameters come with the network
