"""Which remedies still help beside each other: each was tried alone, and a file of them is applied as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slimai.report.ranking import Remedy, Trials


def together(changes: Sequence[Remedy], trials: Trials, advance: Callable[[], None] = lambda: None) -> list[Remedy]:
    """Return the remedies that lower the outputs' noise beside those before them, in their order.

    Limits and types are looked at apart, as they go into files of their own. `advance` is called after each trial.
    """
    limits, types = [one for one in changes if not one.datatypes], [one for one in changes if one.datatypes]
    kept = [*_kept(limits, trials, advance), *_kept(types, trials, advance)]
    return [one for one in changes if one in kept]


def _kept(changes: Sequence[Remedy], trials: Trials, advance: Callable[[], None]) -> list[Remedy]:
    if not changes:
        return []
    best = trials.noise(trials.rebuild(Remedy("")))
    kept: list[Remedy] = []
    for change in changes:
        if change not in kept:  # several layers can have one remedy in common
            noise = trials.noise(trials.rebuild(_joined([*kept, change])))
            if noise < best:
                kept, best = [*kept, change], noise
        advance()
    return kept


def _joined(changes: Sequence[Remedy]) -> Remedy:
    """Return one remedy that does all; where two change one tensor or node, the first does."""
    limits = {name: ends for change in reversed(changes) for name, ends in change.limits.items()}
    types = {name: bits for change in reversed(changes) for name, bits in change.datatypes.items()}
    return Remedy("", limits, types)
