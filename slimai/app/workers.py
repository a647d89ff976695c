"""The workers of a run as processes of this machine; on Ray they are actors (`ray_executor`)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.synchronize import Event
from typing import Any, Protocol

from slimai.app.work import Opener, Work, WorkerSpec
from slimai.errors import SlimaiError
from slimai.schema.smart_search import SmartSearchSection


class Pool(Protocol):
    """Workers that each open the job once."""

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work, which is taken from the iterable when there is room for it."""
        ...

    def open(self, work: Work) -> None:
        """Let every worker do this, the opening of what follows, and return at once."""
        ...

    def ready(self) -> bool:
        """Return whether the workers have opened what they were told; raise what went wrong there."""
        ...

    def same_machine(self) -> bool:
        """Return whether a float pass gives the same bits on every worker as in this process."""
        ...

    def close(self) -> None:
        """Stop the workers; work that has not begun is forgotten."""
        ...


_opener: list[Opener] = []  # the job of this process, set by its initializer


def _begin(spec: WorkerSpec, stop: Event) -> None:
    _end_with_parent()
    _opener.append(Opener(spec, stop.is_set))


def _end_with_parent() -> None:
    """End this process when the parent is gone: nobody else would stop it after a kill."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(work: Work) -> Any:
    return _opener[0].do(work)


class Processes:
    """Runs work in `count` processes; they start with the first of it."""

    def __init__(self, spec: WorkerSpec, count: int) -> None:
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(spec, self._stop))
        self._opening: list[Future[Any]] = []

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work; one item waits beside those that run."""
        source = iter(work)
        running: deque[Future[Any]] = deque()
        while True:
            while len(running) <= self._count and (item := next(source, None)) is not None:
                running.append(self._submit(item))
            if not running:
                return
            yield _result(running.popleft())

    def open(self, work: Work) -> None:
        """Start the processes, each with this work."""
        self._opening = [self._submit(work) for _ in range(self._count)]

    def ready(self) -> bool:
        """Return whether that is done; raise what went wrong there."""
        if not all(future.done() for future in self._opening):
            return False
        for future in self._opening:
            _result(future)
        return True

    def same_machine(self) -> bool:
        """Return True: it is this machine."""
        return True

    def _submit(self, work: Work) -> Future[Any]:
        with _uninterrupted():  # the process that may be started here inherits it
            return self._pool.submit(_work, work)

    def close(self) -> None:
        """Stop the processes after their batch; work that has not begun is forgotten."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold an interruption from the keyboard back; the parent alone decides what it means.

    The mask is that of the thread, and of processes that it starts meanwhile for as long as they live: a terminal
    sends the signal to all of them, and one that is still importing could not ignore it yet.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_pool(spec: WorkerSpec, settings: SmartSearchSection) -> Pool:
    """Return the workers that the settings ask for."""
    if settings.executor == "ray":
        from slimai.app.ray_executor import Actors

        return Actors(spec, settings.workers)
    return Processes(spec, settings.workers)


def _result(future: Future[Any]) -> Any:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return future.result()
    except BrokenProcessPool as error:
        raise SlimaiError(
            "smart_search.workers: a worker process died (out of memory?); run again with fewer workers, it continues"
        ) from error
