"""The float passes of a job shared out over its workers: when that is worth it, and in which parts.

A pass begins in the main process. After two batches the time of one is known, and the workers take the rest if that
saves more than it costs. Parts are whole batches, cut where one process cuts them, so that ONNX Runtime sees the same
arrays; which process runs a part then changes no bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from slimai.app.work import UnitWork, Work, WorkerSpec
from slimai.app.workers import Pool, start_pool
from slimai.errors import SlimaiError
from slimai.schema.smart_search import SmartSearchSection
from slimai.search.evaluate import OnBatch, Validation
from slimai.search.events import Reporter
from slimai.search.units import Measured, Unit

PROBE = 2  # batches; the first also loads kernels, so the second is timed
LEAST_SAVING = 1.0  # seconds; below it, opening the network in every worker costs what is saved
START_SECONDS = 2.0  # until a new worker has imported its libraries, opened the job and loaded the kernels
PART_SECONDS = 2.0  # of one part: the statistics that come back are some megabytes, and the progress moves


def saving(seconds: float, workers: int) -> float:
    """Return the seconds that `workers` save of work that takes one process so many seconds."""
    return seconds * (1 - 1 / workers)


def parts(start: int, stop: int, batch: int, seconds: float, workers: int) -> list[tuple[int, int]]:
    """Return (start, stop) of consecutive parts of whole batches, about as many for each worker.

    seconds: what one batch takes; a part takes PART_SECONDS at most, or one batch.
    """
    batches = math.ceil((stop - start) / batch)
    most = max(1, int(PART_SECONDS / max(seconds, 1e-9)))
    rounds = math.ceil(batches / (most * workers))
    step = batch * math.ceil(batches / (rounds * workers))
    return [(first, min(first + step, stop)) for first in range(start, stop, step)]


class Crew:
    """The workers of one run, started with the first work for them and stopped once.

    open_spec: makes the plain values that a worker opens the job with. due: whether the search will need the workers
    anyhow, so that starting them for a float pass costs nothing more.
    """

    def __init__(
        self, open_spec: Callable[[], WorkerSpec], settings: SmartSearchSection, reporter: Reporter, *, due: bool
    ) -> None:
        self._open_spec = open_spec
        self._settings = settings
        self._reporter = reporter
        self._due = due
        self._pool: Pool | None = None
        self._closed = False

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work, which is taken from the iterable when there is room for it."""
        return self._started().run(work)

    def worth(self, seconds: float) -> bool:
        """Return whether the workers should take float work that one process needs so many seconds for."""
        if self._closed:
            return False
        start = 0.0 if self._due or self._pool is not None else START_SECONDS
        if saving(seconds, self._settings.workers) <= LEAST_SAVING + start:
            return False
        same = self._started().same_machine()
        if not same:
            self._reporter.line(
                "the float pass stays in this process: a worker's processor or ONNX Runtime is another one, "
                "which may change the last bits"
            )
        return same

    def pace(self, images: int, batch: int) -> Pace:
        """Return what decides how a pass over `images` images is shared."""
        return Pace(self, self._settings.workers, images, batch)

    def close(self) -> None:
        """Stop the workers; float passes that follow stay in this process."""
        self._closed = True
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _started(self) -> Pool:
        if self._pool is None:
            if self._closed:
                raise SlimaiError("smart_search.workers: the workers of this run have been stopped")
            self._pool = start_pool(self._open_spec(), self._settings)
        return self._pool


class Pace:
    """Times the first batches of a pass and says whether the workers take the rest."""

    def __init__(self, crew: Crew, workers: int, images: int, batch: int) -> None:
        self._crew, self._workers, self._images, self._batch = crew, workers, images, batch
        self._times: list[float] = []
        self._seconds = 0.0

    def handover(self) -> bool:
        """Return whether this process stops here; to be called after each batch."""
        if len(self._times) >= PROBE:
            return False
        self._times.append(time.monotonic())
        if len(self._times) < PROBE:
            return False
        self._seconds = self._times[-1] - self._times[-2]
        rest = self._images - PROBE * self._batch
        return rest > self._batch and self._crew.worth(self._seconds * math.ceil(rest / self._batch))

    def parts(self) -> list[tuple[int, int]]:
        """Return (start, stop) of the parts of the rest."""
        return parts(PROBE * self._batch, self._images, self._batch, self._seconds, self._workers)


class CrewExecutor:
    """Runs the units of a search on the workers; the records are those that one process would give.

    edits: limits by tensor that a person has set.
    """

    def __init__(self, crew: Crew, validation: Validation, edits: Mapping[str, tuple[float, float]]) -> None:
        self._crew = crew
        self._validation = validation
        self._edits = edits

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the results in the order of the units."""
        found: Measured
        for found in self._crew.run(UnitWork.sent(unit, self._validation, self._edits) for unit in units):
            on_batch(len(found.records))
            yield found

    def close(self) -> None:
        """Stop the workers: nothing after the search needs them."""
        self._crew.close()
