"""The bounds that decide which outcome of a search is delivered."""

from __future__ import annotations

from slimai.schema.root import SlimaiConfig
from slimai.search.choice import Bounds


def delivery_bounds(config: SlimaiConfig) -> Bounds:
    """Return what decides which outcome is delivered: the goal of `mix: auto`, or the bounds of the search."""
    goal = config.quantization.mix_goal
    if config.quantization.mix == "auto" and goal is not None:
        return Bounds(goal.max_drop, goal.latency_ms, goal.score)
    return Bounds(config.search.max_drop, config.search.latency_limit)
