"""Which outcome is delivered: the pure winner, or the cheapest that keeps the user's bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slimai.search.candidate import Outcome, best, rank_key


@dataclass(frozen=True)
class Bounds:
    """max_drop: largest loss of score against float. latency_limit: largest estimated time of a frame, ms."""

    max_drop: float | None = None
    latency_limit: float | None = None

    @property
    def given(self) -> bool:
        """Whether the user asked for any bound."""
        return self.max_drop is not None or self.latency_limit is not None


@dataclass(frozen=True)
class Choice:
    """winner: the best score. delivered: what the files hold. note: why it is not the winner, or what failed."""

    winner: Outcome | None
    delivered: Outcome | None
    note: str = ""


def choose(outcomes: Sequence[Outcome], bounds: Bounds, float_score: float | None) -> Choice:
    """Return winner and delivered outcome.

    With `max_drop` the cheapest outcome that keeps every bound is delivered (ties: the better score); with
    `latency_limit` alone the best score within it. When nothing keeps the bounds the winner is delivered, and
    the note says so.
    """
    winner = best(outcomes)
    if winner is None or not bounds.given:
        return Choice(winner, winner)
    kept = [item for item in outcomes if item.status == "full" and _keeps(item, bounds, float_score)]
    if not kept:
        return Choice(winner, winner, f"no candidate keeps {_told(bounds)}: the best score is delivered")
    order = sorted(kept, key=rank_key)
    chosen = min(order, key=_cost) if bounds.max_drop is not None else order[0]
    note = "" if chosen == winner else f"the {_kind(bounds)} that keeps {_told(bounds)}"
    return Choice(winner, chosen, note)


def _keeps(item: Outcome, bounds: Bounds, float_score: float | None) -> bool:
    if bounds.latency_limit is not None and _cost(item) > bounds.latency_limit:
        return False
    if bounds.max_drop is None:
        return True
    return item.score is not None and float_score is not None and item.score >= float_score - bounds.max_drop


def _cost(item: Outcome) -> float:
    return math.inf if item.latency_ms is None else item.latency_ms


def _kind(bounds: Bounds) -> str:
    return "best" if bounds.max_drop is None else "cheapest"


def _told(bounds: Bounds) -> str:
    parts = []
    if bounds.max_drop is not None:
        parts.append(f"max_drop {bounds.max_drop:g}")
    if bounds.latency_limit is not None:
        parts.append(f"latency_limit {bounds.latency_limit:g} ms")
    return " and ".join(parts)
