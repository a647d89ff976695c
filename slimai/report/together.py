"""Which remedies still help beside each other: each was tried alone, and a file of them is applied as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slimai.report.decibels import decibel
from slimai.report.ranking import WORTH_DB, Arrays, Remedy, Trials

Score = Callable[[Arrays], float]  # of the outputs [N, ...] of the trials' images


def together(
    changes: Sequence[Remedy], trials: Trials, score: Score, advance: Callable[[], None] = lambda: None
) -> list[Remedy]:
    """Return the remedies worth it (WORTH_DB) beside those before them that cost no score, in their order.

    Limits and types are looked at apart, as they go into files of their own. `advance` is called after each trial.
    """

    def judged(kept: Sequence[Remedy]) -> tuple[float, float]:
        program = trials.rebuild(_joined(kept))
        found = trials.outputs(program)
        return trials.ratio(found, program.plan.graph), score(found)

    def chosen(offered: Sequence[Remedy]) -> list[Remedy]:
        kept: list[Remedy] = []
        best = bare
        for change in offered:
            if change not in kept:  # several layers can have one remedy in common
                now = judged([*kept, change])
                if decibel(now[0]) - decibel(best[0]) >= WORTH_DB and not now[1] < best[1]:
                    kept, best = [*kept, change], now
            advance()
        return kept

    bare = judged([]) if changes else (0.0, 0.0)
    limits, types = [one for one in changes if not one.datatypes], [one for one in changes if one.datatypes]
    kept = [*chosen(limits), *chosen(types)]
    return [one for one in changes if one in kept]


def _joined(changes: Sequence[Remedy]) -> Remedy:
    """Return one remedy that does all; where two change one tensor or node, the first does."""
    limits = {name: ends for change in reversed(changes) for name, ends in change.limits.items()}
    types = {name: bits for change in reversed(changes) for name, bits in change.datatypes.items()}
    return Remedy("", limits, types)
