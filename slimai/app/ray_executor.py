"""The unit of work on Ray actors: on a cluster through RAY_ADDRESS, else in a Ray that this process starts."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from slimai.app.workers import Sent, Worker, WorkerSpec, sent
from slimai.errors import Diagnostic, SlimaiError
from slimai.search.evaluate import OnBatch
from slimai.search.units import Measured, Unit

ADDRESS = "RAY_ADDRESS"


def ray_problem() -> Diagnostic | None:
    """Return why Ray cannot be used here, or None."""
    if find_spec("ray") is not None:
        return None
    return Diagnostic(
        "Ray is not installed",
        key="smart_search.executor",
        value="ray",
        suggestion="install slimai[ray], or set smart_search.executor=processes",
    )


class Opened:
    """The class of the actors: a `Worker` that is opened with the first unit, so that its errors reach the caller."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: Worker | None = None

    def measure(self, item: Sent) -> Measured:
        """Return the records of a unit."""
        if self._worker is None:
            self._check_shared()
            self._worker = Worker(self._spec)
        return self._worker(item.received())

    def _check_shared(self) -> None:
        if not (self._spec.spill / "inputs" / "0.npy").is_file():
            raise SlimaiError(
                f"path.output_dir: a Ray node does not see {self._spec.spill}; "
                "put path.output_dir and path.tmp_dir on a disk that all nodes share"
            )


class Actors:
    """Runs units on `count` Ray actors of one CPU each; the records are those that one process would give."""

    def __init__(self, spec: WorkerSpec, count: int) -> None:
        import ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, count)
        self._check_room(count)
        kind = ray.remote(num_cpus=1)(Opened)
        shared = ray.put(spec)
        self._actors = [kind.remote(shared) for _ in range(count)]

    def _check_room(self, count: int) -> None:
        cpus = int(self._ray.cluster_resources().get("CPU", 0))
        if cpus < count:
            self.close()
            raise SlimaiError(
                f"smart_search.workers: the Ray cluster has {cpus} CPUs, so {count} actors would wait for ever; "
                f"lower smart_search.workers to {max(cpus, 1)}"
            )

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the results in the order of the units; every actor has one unit, the next one goes to a free actor."""
        source = iter(units)
        free = deque(self._actors)
        busy: dict[Any, Any] = {}
        waiting: deque[Any] = deque()
        while True:
            while free and (unit := next(source, None)) is not None:
                actor = free.popleft()
                reference = actor.measure.remote(sent(unit))
                busy[reference] = actor
                waiting.append(reference)
            if not waiting:
                return
            if busy:
                done, _ = self._ray.wait(list(busy), num_returns=1)
                free.extend(busy.pop(reference) for reference in done)
            while waiting and waiting[0] not in busy:
                found = self._result(waiting.popleft())
                on_batch(len(found.records), found.records)
                yield found

    def _result(self, reference: Any) -> Measured:
        errors = self._ray.exceptions
        try:
            found: Measured = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, SlimaiError) else error) from None
        except errors.RayActorError as error:
            raise SlimaiError(
                "smart_search.executor: a Ray actor died (out of memory, or its node is gone?); run again, it continues"
            ) from error
        return found

    def close(self) -> None:
        """Stop the actors, and the Ray that this object started."""
        for actor in getattr(self, "_actors", []):
            self._ray.kill(actor)
        self._actors = []
        if self._own:
            self._ray.shutdown()


def _connect(ray: Any, count: int) -> None:
    """Join the cluster of RAY_ADDRESS, or start Ray on this machine with `count` CPUs."""
    address = os.environ.get(ADDRESS)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", num_cpus=count, include_dashboard=False, **quiet)
    except Exception as error:  # Ray raises plain Exception, for example when its start takes too long
        what = f"the Ray cluster of {ADDRESS}={address} cannot be joined" if address else "Ray cannot be started"
        raise SlimaiError(f"smart_search.executor: {what}: {error}") from error
