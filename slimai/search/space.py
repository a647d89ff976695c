"""The space of a search: levels x ranges (or methods), wider for some networks (SPEC 11.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from slimai.search.candidate import PLAIN, Candidate, Variant

WIDER_NETWORKS = ("maskrcnn", "unet", "deeplab")
WIDER_VARIANTS = (
    frozenset({Variant.PERCENTILE}),
    frozenset({Variant.CLIP}),
    frozenset({Variant.PERCENTILE, Variant.CLIP}),
)


class Entry(Protocol):
    """One way to find limits, as `quantization.limits` lists them."""

    @property
    def kind(self) -> str:
        """The word it begins with: range, percentile or a calibration method."""

    @property
    def percent(self) -> Decimal | None:
        """The percentage of a range or a percentile."""

    @property
    def method(self) -> str | None:
        """The calibration method, or None."""


def has_wider_space(network: str, search_level: int) -> bool:
    """Return whether `smart_search_level: 1` means more settings for this network."""
    name = network.lower().replace("_", "").replace("-", "")
    return search_level >= 1 and any(word in name for word in WIDER_NETWORKS)


def space(
    levels: Sequence[int], percents: Sequence[Decimal], methods: Sequence[str], *, wider: bool
) -> tuple[Candidate, ...]:
    """Return the candidates in the order in which they are tried: plain settings before their variants.

    methods: not empty = single-shot calibration, which has no percents.
    """
    if methods:
        plain = [Candidate(level, method=method) for level in levels for method in methods]
    else:
        plain = [Candidate(level, percent) for level in levels for percent in percents]
    return _with_variants(plain, percentiles=not methods, wider=wider)


def space_of_limits(levels: Sequence[int], entries: Sequence[Entry], *, wider: bool) -> tuple[Candidate, ...]:
    """Return the candidates of every level with every entry of `limits`; percentiles are entries, no variants."""
    plain = [
        Candidate(level, entry.percent, entry.method, central=entry.kind == "percentile")
        for level in levels
        for entry in entries
    ]
    return _with_variants(plain, percentiles=False, wider=wider)


def _with_variants(plain: Sequence[Candidate], *, percentiles: bool, wider: bool) -> tuple[Candidate, ...]:
    variants = [item for item in WIDER_VARIANTS if percentiles or Variant.PERCENTILE not in item] if wider else []
    return tuple(replace(item, variant=variant) for variant in (PLAIN, *variants) for item in plain)
