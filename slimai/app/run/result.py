"""What a run returns to Python and to the table on the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from slimai.search.candidate import Outcome
from slimai.search.choice import Choice

if TYPE_CHECKING:
    from slimai.metrics.base import Result


@dataclass(frozen=True)
class RunResult:
    """What a run found. `candidates` has one outcome a candidate; `best` is None when none was scored.

    warnings: about the float score, worth saying again beside the result. missed: the stated bounds that what is
    delivered does not keep; the command line ends with exit code 3. guarantee: what a certified race
    says of its winner.
    """

    output_dir: Path
    network: str
    float_result: Result | None
    candidates: tuple[Outcome, ...] = ()
    choice: Choice = field(default_factory=lambda: Choice(None, None))
    cut_short: str = ""
    host_layers: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    guarantee: str = ""

    @property
    def best(self) -> Outcome | None:
        """The best fully scored outcome."""
        return self.choice.winner

    @property
    def score(self) -> float | None:
        """The score of the best outcome."""
        return None if self.best is None else self.best.score
