"""Rewrites of the canonical graph, one a file, in the order in which they run."""

from __future__ import annotations

from slimai.graph.passes.base import Change, Pass, run_passes
from slimai.graph.passes.drop_identity import DROP_IDENTITY

__all__ = ["BASIC_PASSES", "PASSES", "Change", "Pass", "run_passes"]

BASIC_PASSES: tuple[Pass, ...] = (DROP_IDENTITY,)
PASSES: tuple[Pass, ...] = (DROP_IDENTITY,)
