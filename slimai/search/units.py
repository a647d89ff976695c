"""The unit of work of a search: some images of one candidate; and who runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from slimai.metrics.base import Metric, Record
from slimai.search.candidate import Candidate
from slimai.search.evaluate import OnBatch, Runner, Validation, evaluate


@dataclass(frozen=True)
class Unit:
    """Images (indices into the validation set) of one candidate; `seconds` is the time it may take, or None."""

    candidate: Candidate
    indices: tuple[int, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Measured:
    """The records of a unit, in the order of its images, and whether all of them were run."""

    records: tuple[Record, ...]
    complete: bool


class Executor(Protocol):
    """Runs units. The results come in the order of the units, whatever runs at the same time."""

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the result of each unit; units are taken from the iterable when there is room to run them."""
        ...

    def close(self) -> None:
        """Stop what is running and give everything back."""
        ...


class Inline:
    """Runs units one after another in this process."""

    def __init__(self, runner: Callable[[Candidate], Runner], validation: Validation, metric: Metric) -> None:
        self._runner = runner
        self._validation = validation
        self._metric = metric

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the result of each unit."""
        for unit in units:
            yield measure(unit, self._runner(unit.candidate), self._validation, self._metric, on_batch)

    def close(self) -> None:
        """Nothing runs between two units."""


def measure(
    unit: Unit, runner: Runner, validation: Validation, metric: Metric, on_batch: OnBatch | None = None
) -> Measured:
    """Return the records of one unit."""
    deadline = None if unit.seconds is None else time.monotonic() + unit.seconds
    found = evaluate(runner, validation, metric, unit.indices, deadline=deadline, on_batch=on_batch)
    return Measured(found.records, found.complete)
