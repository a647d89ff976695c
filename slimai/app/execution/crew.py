"""The float passes of a job shared out over its workers: when that is worth it, and in which parts.

A pass begins in the main process. After two batches the time of one is known. If the workers would save more than they
cost they are started, the main process goes on until they are ready, and then they take the rest. Parts are whole
batches, cut where one process cuts them, so that ONNX Runtime sees the same arrays; which process runs a part then
changes no bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from slimai.app.execution.work import Carrier, Spec, Work
from slimai.app.execution.workers import Pool, start_pool
from slimai.errors import SlimaiError
from slimai.schema.smart_search import SmartSearchSection
from slimai.search.events import Reporter

PROBE = 2  # batches; the first also loads kernels, so the second is timed
LEAST_SAVING = 1.0  # seconds; below it, opening the network in every worker costs what is saved
START_SECONDS = 2.0  # of a processor, until a new worker has imported its libraries and opened the job
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
    anyhow, so that starting them for a float pass costs nothing more. carrier: of workers that may have machines of
    their own, None for those of this one.
    """

    def __init__(
        self,
        open_spec: Callable[[], Spec],
        settings: SmartSearchSection,
        reporter: Reporter,
        *,
        due: bool,
        carrier: Carrier | None = None,
    ) -> None:
        self._open_spec = open_spec
        self._carrier = carrier
        self._settings = settings
        self._reporter = reporter
        self._due = due
        self._pool: Pool | None = None
        self._same: bool | None = None
        self._closed = False

    @property
    def workers(self) -> int:
        """How many workers there are when all have started."""
        return self._settings.workers

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work, which is taken from the iterable when there is room for it."""
        return self._started().run(work)

    def takes(self, seconds: float, opening: Work) -> bool:
        """Return whether the workers take, now, float work that one process needs so many seconds for.

        Workers that would be worth it are started when they are not yet there, with `opening` as their first work.
        """
        start = 0.0 if self._due or self._pool is not None else START_SECONDS
        if self._closed or saving(seconds, self._settings.workers) <= LEAST_SAVING + start:
            return False
        if self._pool is None:
            self._started().open(opening)
        return self._started().ready() and self._same_machine()

    def _same_machine(self) -> bool:
        if self._same is None:
            self._same = self._started().same_machine()
            if not self._same:
                self._reporter.line(
                    "float passes stay in this process: a worker's processor or ONNX Runtime is another one, "
                    "which may change their last bits"
                )
        return self._same

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
            if self._carrier is not None:
                self._pool.carried_by(self._carrier)
        return self._pool


class Pace:
    """Times the first batches of a pass and says when the workers take the rest."""

    def __init__(self, crew: Crew, workers: int, images: int, batch: int) -> None:
        self._crew, self._workers, self._images, self._batch = crew, workers, images, batch
        self._done = 0  # batches
        self._seconds = self._last = 0.0

    def handover(self, opening: Work) -> bool:
        """Return whether this process stops here; to be called after each batch."""
        now = time.monotonic()
        self._done += 1
        if self._done == PROBE:
            self._seconds = now - self._last
        self._last = now
        rest = math.ceil(self._images / self._batch) - self._done
        return self._done >= PROBE and rest > 1 and self._crew.takes(self._seconds * rest, opening)

    def parts(self) -> list[tuple[int, int]]:
        """Return (start, stop) of the parts of the rest."""
        return parts(self._done * self._batch, self._images, self._batch, self._seconds, self._workers)
