"""The bounds that decide which outcome of a search is delivered, and those that it does not keep."""

from __future__ import annotations

from slimai.number_text import decimals
from slimai.schema.root import SlimaiConfig
from slimai.search.choice import Bounds, Choice


def delivery_bounds(config: SlimaiConfig) -> Bounds:
    """Return what decides which outcome is delivered: the goal of `mix: auto`, or the bounds of the search."""
    goal = config.quantization.mix_goal
    if config.quantization.mix == "auto" and goal is not None:
        return Bounds(goal.max_drop, goal.latency_ms, goal.score)
    search = config.search
    return Bounds(search.max_drop, search.latency_limit, arena_limit=search.arena_limit)


def missed_bounds(config: SlimaiConfig, choice: Choice, float_score: float | None) -> tuple[str, ...]:
    """Return what the delivered outcome does not keep of the user's bounds, one sentence each."""
    if choice.delivered is None:
        return ()
    bounds, least = delivery_bounds(config), config.metric.fail_under
    found = []
    if bounds.given and not bounds.kept_by(choice.delivered, float_score):
        found.append(f"no candidate keeps {bounds}")
    score = choice.delivered.score
    if least is not None and (score is None or score < least):
        found.append(f"score {decimals(score, 4)} is under metric.fail_under {least:g}")
    return tuple(found)
