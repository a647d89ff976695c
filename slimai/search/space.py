"""The space of a search: levels x ranges (or methods), wider for some networks (SPEC 11.1)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from slimai.search.candidate import Candidate

WIDER_NETWORKS = ("maskrcnn", "unet", "deeplab")
# variant -> what it changes beside level and range
VARIANTS = {
    "percentile": "the range is the central part of the histogram's mass instead of a share of the limits",
    "clip": "weights are clipped where that lowers their squared error",
    "percentile_clip": "both",
}


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
    variants = VARIANTS if wider else {}
    if methods:
        variants = {name: text for name, text in variants.items() if "percentile" not in name}
    more = [Candidate(item.level, item.percent, item.method, name) for name in variants for item in plain]
    return (*plain, *more)
