"""The workers of a run as Ray actors: on a cluster through RAY_ADDRESS, else in a Ray that this process starts."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from slimai.app.execution.work import Opener, Spec, Work, machine
from slimai.errors import SlimaiError

ADDRESS = "RAY_ADDRESS"
STARTS = 3
SLOW = "timed out during startup"  # of Ray's message


class Actor(Opener):
    """The class of the actors."""

    def machine(self) -> str:
        """Return what decides the last bits of a float pass on this node."""
        return machine()


class Actors:
    """Runs work on `count` Ray actors of one CPU each."""

    def __init__(self, spec: Spec, count: int) -> None:
        import ray  # noqa: PLC0415 - spares ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, count)
        self._check_room(count)
        kind = ray.remote(num_cpus=1)(Actor)
        shared = ray.put(spec)
        self._actors = [kind.remote(shared) for _ in range(count)]
        self._opening: list[Any] = []

    def _check_room(self, count: int) -> None:
        cpus = int(self._ray.cluster_resources().get("CPU", 0))
        if cpus < count:
            self.close()
            raise SlimaiError(
                f"smart_search.workers: the Ray cluster has {cpus} CPUs, so {count} actors would wait for ever; "
                f"lower smart_search.workers to {max(cpus, 1)}"
            )

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work; every actor has one item, the next one goes to a free actor."""
        source = iter(work)
        free = deque(self._actors)
        busy: dict[Any, Any] = {}
        waiting: deque[Any] = deque()
        while True:
            while free and (item := next(source, None)) is not None:
                actor = free.popleft()
                reference = actor.do.remote(item)
                busy[reference] = actor
                waiting.append(reference)
            if not waiting:
                return
            if busy:
                done, _ = self._ray.wait(list(busy), num_returns=1)
                free.extend(busy.pop(reference) for reference in done)
            while waiting and waiting[0] not in busy:
                yield self._result(waiting.popleft())

    def open(self, work: Work) -> None:
        """Let every actor do this and return at once."""
        self._opening = [actor.do.remote(work) for actor in self._actors]

    def ready(self) -> bool:
        """Return whether that is done; raise what went wrong there."""
        if self._opening:
            done, _ = self._ray.wait(self._opening, num_returns=len(self._opening), timeout=0)
            if len(done) < len(self._opening):
                return False
        for reference in self._opening:
            self._result(reference)
        return True

    def same_machine(self) -> bool:
        """Return whether all nodes have this machine's processor and ONNX Runtime: float bits depend on both."""
        here = machine()
        return all(self._result(actor.machine.remote()) == here for actor in self._actors)

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, SlimaiError) else error) from None
        except errors.RayActorError as error:
            raise SlimaiError(
                "smart_search.executor: a Ray actor died (out of memory, or its node is gone?); run again, it continues"
            ) from error

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
            _start(ray, {"address": "local", "num_cpus": count, "include_dashboard": False, **quiet})
    except Exception as error:  # Ray raises plain Exception, for example when its start takes too long
        what = f"the Ray cluster of {ADDRESS}={address} cannot be joined" if address else "Ray cannot be started"
        raise SlimaiError(f"smart_search.executor: {what}: {error}") from error


def _start(ray: Any, settings: dict[str, Any]) -> None:
    """Start Ray; its wait of 30 s for its own node is fixed, so a machine that is too busy for it is asked again."""
    for _ in range(STARTS - 1):
        try:
            ray.init(**settings)
        except Exception as error:
            if SLOW not in str(error):
                raise
            ray.shutdown()
        else:
            return
    ray.init(**settings)
