"""What was guessed, on what grounds, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from slimai.app.draft.trial import Tried

SURE, LIKELY, UNSURE = "sure", "likely", "unsure"
WORTH = 0.1  # a best score below it decides nothing
CLEAR, NEAR = 0.8, 0.95  # share of the best score that the next one has at most

__all__ = ["LIKELY", "SURE", "UNSURE", "WORTH", "Guess", "by_trial"]


@dataclass(frozen=True)
class Guess:
    """A value that init chose. key: dotted. why: a sentence without its end. how: sure, likely or unsure."""

    key: str
    value: str
    how: str
    why: str


def by_trial(tried: Sequence[Tried], aspect: Callable[[Tried], Any], name: Callable[[Any], str]) -> tuple[str, str]:
    """Return how sure the best of `tried` is in one aspect, and the scores that say so; `tried` is best first."""
    best = tried[0]
    own = _hashable(aspect(best))
    other = next((item for item in tried if _hashable(aspect(item)) != own), None)
    head = f"score {best.score:.3f} on {best.images} samples"
    if other is None:
        return (LIKELY if best.score >= WORTH else UNSURE), f"{head}, nothing else was tried"
    how = UNSURE
    if best.score >= WORTH and other.score <= NEAR * best.score:
        how = SURE if other.score <= CLEAR * best.score else LIKELY
    fewer = f" on {other.images}" if other.images != best.images else ""
    return how, f"{head}; next {name(aspect(other))}: {other.score:.3f}{fewer}"


def _hashable(value: Any) -> Hashable:
    return repr(value)
