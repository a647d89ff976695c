"""The short text beside the progress of a search: the candidate that runs, its score so far, the best one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slimai.metrics.base import Metric, Record
from slimai.metrics.scores import quick_score
from slimai.number_text import decimals
from slimai.search.candidate import Candidate, Outcome
from slimai.search.events import Stage

EVERY_S = 0.5
SHARE = 0.02  # of the time, which scores so far may take


class Headline:
    """Keeps the note of `stage` up to date. clock: monotonic seconds."""

    def __init__(self, stage: Stage, metric: Metric, network: str, clock: Callable[[], float]) -> None:
        self._stage, self._metric, self._network, self._clock = stage, metric, network, clock
        self._now = self._best = ""
        self._next = clock()

    def begin(self, candidate: Candidate) -> None:
        """Name the candidate that is worked on."""
        self._now = self._name(candidate)
        self._show()

    def scored(self, candidate: Candidate, earlier: Sequence[Record], records: Sequence[Record]) -> None:
        """Show the candidate's score on the images so far; not more often than people and the metric can follow."""
        before = self._clock()
        if before < self._next or not (earlier or records):
            return
        score = quick_score(self._metric, [*earlier, *records])
        after = self._clock()
        self._next = after + max(EVERY_S, (after - before) / SHARE)
        self._now = self._name(candidate) + _number(score)
        self._show()

    def best(self, outcome: Outcome | None) -> None:
        """Show the best outcome so far."""
        if outcome is not None:
            self._best = f"best {self._name(outcome.candidate)}{_number(outcome.score)}"
            self._show()

    def _show(self) -> None:
        self._stage.note("; ".join(filter(None, (self._now, self._best))))

    def _name(self, candidate: Candidate) -> str:
        return f"{candidate.profile(self._network)} L{candidate.level}"


def _number(score: float | None) -> str:
    shown = decimals(score, 4, none="")
    return f" {shown}" if shown else ""
