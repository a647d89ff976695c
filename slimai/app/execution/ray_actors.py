"""The workers of a run as Ray actors: on a cluster through RAY_ADDRESS, else in a Ray that this process starts.

A cluster changes while a run goes on. Work of an actor that dies with its node, or alone, is done again by another one,
and a new actor takes its place as soon as some node has a free CPU: one that stayed, or one that was added.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from slimai.app.execution.work import Carrier, Handle, Opener, Spec, Work, machine
from slimai.errors import SlimaiError

log = logging.getLogger("slimai.job.workers")  # of the run that is going on

ADDRESS = "RAY_ADDRESS"
STARTS = 3
SLOW = "timed out during startup"  # of Ray's message
MOST_DEATHS = 3  # of actors, by one piece of work or one after the other while they start: it is no node's fault then
ALONE_SECONDS = 60.0  # that a cluster without any CPU is waited for
LOOK_SECONDS = 5.0  # between two looks at a cluster that does nothing


class Actor(Opener):
    """The class of the actors."""

    def begin(self) -> tuple[str, bool]:
        """Return what decides the last bits of a float pass on this node, and whether it sees the run's files."""
        return machine(), self._spec.seen()

    def adopt(self, spec: Spec) -> None:
        """Open the job by `spec` instead."""
        self._spec = spec


@dataclass(frozen=True)
class InStore:
    """A value in Ray's object store, which brings it to a node once, whoever asks there."""

    reference: Any

    def get(self) -> Any:
        """Return the value; its arrays are not copied and cannot be written."""
        import ray  # noqa: PLC0415 - spares ray

        return ray.get(self.reference)


@dataclass(frozen=True)
class _Node:
    """An actor that has begun."""

    actor: Any
    machine: str
    seen: bool


@dataclass
class _Ticket:
    """A piece of work, how many actors have died by it, and its result once it is done."""

    work: Work
    deaths: int = 0
    done: bool = False
    value: Any = None


@dataclass(frozen=True)
class _Call:
    """What an actor does now: then is told the result; ticket: the work, None while the actor begins or opens."""

    actor: Any
    then: Callable[[Any], None]
    ticket: _Ticket | None = None


class Actors:
    """Runs work on `count` Ray actors of one CPU each."""

    def __init__(self, spec: Spec, count: int) -> None:
        import ray  # noqa: PLC0415 - spares ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, count)
        self._check_room(count)
        self._kind = ray.remote(num_cpus=1)(Actor)
        self._spec = ray.put(spec)
        self._carrier: Carrier | None = None
        self._carried: Any = None
        self._opening: Work | None = None
        self._here = machine()
        self._actors: list[Any] = []
        self._calls: dict[Any, _Call] = {}
        self._free: list[_Node] = []
        self._again: deque[_Ticket] = deque()
        self._failed_starts = 0
        self.machines: set[str] = set()  # of all actors that have begun
        for _ in range(count):
            self._add()

    def _check_room(self, count: int) -> None:
        cpus = self._cpus()
        if cpus < count:
            self.close()
            raise SlimaiError(
                f"smart_search.workers: the Ray cluster has {cpus} CPUs, so {count} actors would wait for ever; "
                f"lower smart_search.workers to {max(cpus, 1)}"
            )

    def _cpus(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def carried_by(self, carrier: Carrier) -> None:
        """Let actors on nodes that do not see the run's files get what they would read through the object store."""
        self._carrier = carrier

    def share(self, value: Any) -> Handle:
        """Put a value into the object store."""
        return InStore(self._ray.put(value))

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work; every actor has one item, the next one goes to a free actor."""
        source = iter(work)
        waiting: deque[_Ticket] = deque()
        self._again.clear()  # of a run that nobody waits for any more
        while True:
            more = self._hand_out(source, waiting)
            if not waiting and not more:
                return
            if waiting and waiting[0].done:
                yield waiting.popleft().value  # one by one: who takes it may take its time, and actors wait meanwhile
            else:
                self._require_calls()
                self._collect()

    def _hand_out(self, source: Iterator[Work], waiting: deque[_Ticket]) -> bool:
        """Give every free actor work, that of dead ones first; return False once there is no more of it."""
        for node in list(self._free):
            if self._again:
                ticket = self._again.popleft()
            elif (item := next(source, None)) is not None:
                waiting.append(ticket := _Ticket(item))
            else:
                return False
            if not self._fits(node, ticket.work):
                self._again.append(ticket)
                continue
            self._free.remove(node)
            self._send(node, ticket)
        return True

    def _require_calls(self) -> None:
        if not self._calls:
            raise SlimaiError(
                "smart_search.executor: the Ray cluster has no node with this machine's processor and ONNX Runtime any "
                "more, on which the float passes depend; run again, it continues"
            )

    def _fits(self, node: _Node, work: Work) -> bool:
        return not work.machine_bits or node.machine == self._here

    def _send(self, node: _Node, ticket: _Ticket) -> None:
        def took(value: Any) -> None:
            ticket.done, ticket.value = True, value
            self._free.append(node)

        if not ticket.work.machine_bits:
            self._opening = None  # the float passes are over: who comes now need not open them
        self._call(node.actor, node.actor.do.remote(self._for(node, ticket.work)), took, ticket)

    def _for(self, node: _Node, work: Work) -> Work:
        """Return the work as the node can do it."""
        if node.seen or self._carrier is None:
            return work
        return self._carrier.work(work, self.share)

    def _call(self, actor: Any, reference: Any, then: Callable[[Any], None], ticket: _Ticket | None = None) -> None:
        self._calls[reference] = _Call(actor, then, ticket)

    def _collect(self, seconds: float | None = None) -> None:
        """Take in what actors have done: wait for the first of it, at most so many seconds."""
        references = list(self._calls)
        done = self._waited(references) if seconds is None else self._done(references, seconds)
        if len(references) > 1 and done:
            done = self._done(references, 0.0, most=len(references))
        for reference in done:
            call = self._calls.pop(reference)
            try:
                value = self._result(reference)
            except _LostError as error:
                self._replace(call, error)
            else:
                call.then(value)

    def _done(self, references: list[Any], seconds: float, most: int = 1) -> list[Any]:
        done, _ = self._ray.wait(references, num_returns=most, timeout=seconds)
        return list(done)

    def _waited(self, references: list[Any]) -> list[Any]:
        """Return what is done first; raise when there is no node left that could do anything."""
        end = time.monotonic() + ALONE_SECONDS
        while not (done := self._done(references, LOOK_SECONDS)):
            if self._cpus():
                end = time.monotonic() + ALONE_SECONDS
            elif time.monotonic() > end:
                raise SlimaiError(
                    "smart_search.executor: the Ray cluster has no node with a CPU any more; "
                    "add one and run again, it continues"
                )
        return done

    def _add(self) -> None:
        """Start an actor; it begins where a CPU is free, now or later."""
        actor = self._kind.remote(self._spec)
        self._actors.append(actor)

        def began(found: tuple[str, bool]) -> None:
            self._failed_starts = 0
            self._welcome(_Node(actor, *found))

        self._call(actor, actor.begin.remote(), began)

    def _welcome(self, node: _Node) -> None:
        self.machines.add(node.machine)
        if not node.seen and self._carrier is not None:
            if self._carried is None:
                self._carried = self._ray.put(self._carrier.spec())
            node.actor.adopt.remote(self._carried)
        if self._opening is None or not self._fits(node, self._opening):
            self._free.append(node)
        else:
            self._open(node, self._opening)

    def _replace(self, call: _Call, error: Exception) -> None:
        """Start another actor for one that has died, and keep its work for whoever is free first."""
        self._actors.remove(call.actor)
        with suppress(Exception):  # it may be gone altogether
            self._ray.kill(call.actor)
        deaths = self._failed_starts = self._failed_starts + 1
        if call.ticket is not None:
            deaths = call.ticket.deaths = call.ticket.deaths + 1
            self._failed_starts = 0
        if deaths >= MOST_DEATHS:
            raise SlimaiError(
                "smart_search.executor: a Ray actor died (out of memory, or its node is gone?); run again, it continues"
            ) from error
        log.warning("smart_search.executor: a Ray actor died; another one does its work")
        if call.ticket is not None:
            self._again.appendleft(call.ticket)
        self._add()

    def open(self, work: Work) -> None:
        """Let every actor do this, also those that come later, and return at once."""
        self._opening = work
        free, self._free = self._free, []
        for node in free:
            self._open(node, work)

    def _open(self, node: _Node, work: Work) -> None:
        self._call(node.actor, node.actor.do.remote(self._for(node, work)), lambda _: self._free.append(node))

    def ready(self) -> bool:
        """Return whether that is done; raise what went wrong there."""
        while self._calls and self._done(list(self._calls), 0.0):
            self._collect(0.0)
        return not self._calls

    def same_machine(self) -> bool:
        """Return whether all nodes have this machine's processor and ONNX Runtime: float bits depend on both."""
        while any(call.ticket is None for call in self._calls.values()):
            self._collect()
        return self.machines == {self._here}

    def _result(self, reference: Any) -> Any:
        """Return what an actor has returned; raise what it has raised, or that it is lost with its result."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, SlimaiError) else error) from None
        except (errors.RayActorError, errors.ObjectLostError) as error:
            raise _LostError(str(error)) from error

    def close(self) -> None:
        """Stop the actors, and the Ray that this object started."""
        for actor in getattr(self, "_actors", []):
            self._ray.kill(actor)
        self._actors, self._calls, self._free = [], {}, []
        if self._own:
            self._ray.shutdown()


class _LostError(Exception):
    """An actor is gone, or the node that held its result."""


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
