"""The space of a search: levels x ranges (or methods), wider for some networks (SPEC 11.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from slimai.search.candidate import PLAIN, Candidate, Variant

WIDER_NETWORKS = ("maskrcnn", "unet", "deeplab")
WIDER_VARIANTS = (
    frozenset({Variant.PERCENTILE}),
    frozenset({Variant.CLIP}),
    frozenset({Variant.PERCENTILE, Variant.CLIP}),
)


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
    variants = [item for item in WIDER_VARIANTS if not (methods and Variant.PERCENTILE in item)] if wider else []
    return tuple(replace(item, variant=variant) for variant in (PLAIN, *variants) for item in plain)
