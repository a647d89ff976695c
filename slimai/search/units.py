"""The unit of work of a search: some images of one candidate; and who runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from slimai.errors import SlimaiError
from slimai.metrics.base import Metric, Record
from slimai.search.candidate import Candidate
from slimai.search.evaluate import OnBatch, Runner, Validation, evaluate


@dataclass(frozen=True)
class Unit:
    """Images (indices into the validation set) of one candidate; `seconds` is the time it may take, or None.

    following: how many units, at most, are still given out after this one before anybody waits for results.
    """

    candidate: Candidate
    indices: tuple[int, ...]
    seconds: float | None = None
    following: int = 0


@dataclass(frozen=True)
class Measured:
    """The records of a unit, in the order of its images, and whether all of them were run.

    error: why the candidate cannot be compiled or run, or None; there are no records then. seconds: what it took.
    """

    records: tuple[Record, ...]
    complete: bool
    error: SlimaiError | None = None
    seconds: float = 0.0


class Executor(Protocol):
    """Runs units. The results come in the order of the units, whatever runs at the same time."""

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the result of each unit; units are taken from the iterable when there is room to run them."""
        ...

    def close(self) -> None:
        """Stop what is running and give everything back."""
        ...


class Inline:
    """Runs units one after another in this process. clock: of the search's stopwatch. release: called at the end."""

    def __init__(
        self,
        runner: Callable[[Candidate], Runner],
        validation: Validation,
        metric: Metric,
        clock: Callable[[], float] = time.monotonic,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._release = release
        self._validation = validation
        self._metric = metric
        self._clock = clock

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the result of each unit."""
        for unit in units:
            yield measure(unit, self._runner, self._validation, self._metric, on_batch, clock=self._clock)

    def close(self) -> None:
        """Give compiled candidates back; nothing runs between two units."""
        self._release()


def measure(
    unit: Unit,
    runner: Callable[[Candidate], Runner],
    validation: Validation,
    metric: Metric,
    on_batch: OnBatch | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    stopped: Callable[[], bool] = lambda: False,
) -> Measured:
    """Return the records of one unit; planning and compiling the candidate counts against its seconds.

    stopped: asked before every batch, so that a unit that nobody waits for ends soon.
    """
    begin = clock()
    end = None if unit.seconds is None else begin + unit.seconds

    def late() -> bool:
        return stopped() or (end is not None and clock() >= end)

    if late():
        return Measured((), complete=not unit.indices)
    try:
        found = evaluate(runner(unit.candidate), validation, metric, unit.indices, late=late, on_batch=on_batch)
    except SlimaiError as error:
        return Measured((), complete=False, error=error)
    return Measured(found.records, found.complete, seconds=clock() - begin)
