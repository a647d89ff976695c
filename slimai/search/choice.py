"""Which outcome is delivered: the pure winner, or the cheapest that keeps the user's bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slimai.search.candidate import Outcome, best, rank_key


@dataclass(frozen=True)
class Bounds:
    """max_drop: largest loss of score against float. latency_limit: largest estimated time of a frame, ms.

    score: smallest score. arena_limit: most bytes of the arena, which a network with host layers does not keep.
    """

    max_drop: float | None = None
    latency_limit: float | None = None
    score: float | None = None
    arena_limit: int | None = None

    @property
    def given(self) -> bool:
        """Whether the user asked for any bound."""
        return self.by_score or self.latency_limit is not None or self.arena_limit is not None

    @property
    def by_score(self) -> bool:
        """Whether there is a score to reach, so that the cheapest that does is wanted."""
        return self.max_drop is not None or self.score is not None

    def kept_by(self, item: Outcome, float_score: float | None) -> bool:
        """Return whether a fully measured outcome keeps every bound."""
        if item.status != "full" or (self.latency_limit is not None and _cost(item) > self.latency_limit):
            return False
        if self.arena_limit is not None and (item.arena is None or item.arena > self.arena_limit):
            return False
        least = self.least(float_score)
        return not self.by_score or (item.score is not None and least is not None and item.score >= least)

    def least(self, float_score: float | None) -> float | None:
        """Return the smallest score that keeps the bounds, or None without one."""
        dropped = None if self.max_drop is None or float_score is None else float_score - self.max_drop
        return dropped if self.score is None else max(self.score, dropped or 0.0)

    def __str__(self) -> str:
        """Return the bounds in words."""
        parts = []
        if self.max_drop is not None:
            parts.append(f"max_drop {self.max_drop:g}")
        if self.score is not None:
            parts.append(f"score {self.score:g}")
        if self.latency_limit is not None:
            parts.append(f"latency_limit {self.latency_limit:g} ms")
        if self.arena_limit is not None:
            parts.append(f"arena_limit {self.arena_limit} bytes")
        return " and ".join(parts)


@dataclass(frozen=True)
class Choice:
    """winner: the best score. delivered: what the files hold. note: why it is not the winner, or what failed."""

    winner: Outcome | None
    delivered: Outcome | None
    note: str = ""


def choose(outcomes: Sequence[Outcome], bounds: Bounds, float_score: float | None) -> Choice:
    """Return winner and delivered outcome.

    With `max_drop` or `score` the cheapest outcome that keeps every bound is delivered (ties: the better score); with
    `latency_limit` or `arena_limit` alone the best score within it. When nothing keeps the bounds the winner is
    delivered, and the note says so.
    """
    winner = best(outcomes)
    if winner is None or not bounds.given:
        return Choice(winner, winner)
    kept = [item for item in outcomes if bounds.kept_by(item, float_score)]
    if not kept:
        return Choice(winner, winner, f"no candidate keeps {bounds}: the best score is delivered")
    order = sorted(kept, key=rank_key)
    chosen = min(order, key=_cost) if bounds.by_score else order[0]
    kind = "cheapest" if bounds.by_score else "best"
    return Choice(winner, chosen, "" if chosen == winner else f"the {kind} that keeps {bounds}")


def _cost(item: Outcome) -> float:
    return math.inf if item.latency_ms is None else item.latency_ms
