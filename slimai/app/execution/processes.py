"""The workers of a run as processes of this machine; on Ray they are actors (`ray_executor`)."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any

from slimai.app.execution.work import Carrier, Opener, Spec, Work
from slimai.errors import SlimaiError

_opener: list[Opener] = []  # the job of this process, set by its initializer


def _begin(spec: Spec, stop: Event) -> None:
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

    def __init__(self, spec: Spec, count: int) -> None:
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._others = frozenset(multiprocessing.active_children())
        self._seen: set[BaseProcess] = set()
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

    def carried_by(self, carrier: Carrier) -> None:
        """Take no notice: processes of this machine see its files."""

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
        try:
            with _uninterrupted():  # the process that may be started here inherits it
                return self._pool.submit(_work, work)
        except BrokenProcessPool as error:
            raise _died() from error
        except OSError as error:
            if error.errno in (None, errno.EPIPE):  # another one died, and the pool closed the pipes meanwhile
                raise _died() from error
            raise SlimaiError(
                f"smart_search.workers: a worker process cannot be started ({error}); run again with fewer workers"
            ) from error
        finally:
            self._seen.update(multiprocessing.active_children())

    def close(self) -> None:
        """Stop the processes after their batch; work that has not begun is forgotten."""
        self._stop.set()
        threading.Thread(target=_end_together, args=(self._children(),), daemon=True).start()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _children(self) -> list[BaseProcess]:
        return [child for child in self._seen if child not in self._others]


def _end_together(children: list[BaseProcess]) -> None:
    """Wait for the children to end; when one ends badly, kill the rest.

    The pool does so too, but forgets a process that it starts in the same moment, and then waits for it for ever.
    """
    waiting = {child.sentinel: child for child in children}
    while waiting:
        connection.wait(list(waiting))
        ended = [waiting.pop(sentinel) for sentinel, child in list(waiting.items()) if not child.is_alive()]
        if any(_exit_code(child) != 0 for child in ended):
            for child in waiting.values():
                child.kill()
            return


def _exit_code(child: BaseProcess) -> int:
    while (code := child.exitcode) is None:  # the pool's thread has taken it and is about to say so
        time.sleep(0.001)
    return code


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


def _died() -> SlimaiError:
    return SlimaiError(
        "smart_search.workers: a worker process died (out of memory?); run again with fewer workers, it continues"
    )


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _died() from error
