"""The unit of work in other processes of this machine: each opens the job once, then takes units."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.synchronize import Event
from pathlib import Path

from slimai.data.sample import Sample
from slimai.errors import SlimaiError
from slimai.schema.smart_search import SmartSearchSection
from slimai.search.evaluate import OnBatch, Validation
from slimai.search.units import Executor, Measured, Unit, measure


@dataclass(frozen=True)
class WorkerSpec:
    """All that a process needs to open the job: plain values, no live objects.

    config: JSON of the validated configuration. cache: folder with the calibration statistics. spill: folder with
    the preprocessed images and float outputs.
    """

    config: str
    cache: Path
    spill: Path
    calibration: tuple[Sample, ...]
    samples: tuple[Sample, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    batch: int
    memory_limit: int


class Worker:
    """An opened job that measures units; one a process (or Ray actor)."""

    def __init__(self, spec: WorkerSpec) -> None:
        from slimai.app.float_pass import calibrate
        from slimai.app.prepare import reopen
        from slimai.app.programs import Programs
        from slimai.app.quantize import quantizer_for
        from slimai.artifacts.cache import Cache
        from slimai.artifacts.spill import Spill
        from slimai.search.events import Silent

        job = reopen(spec.config, spec.calibration, spec.samples)
        count = len(spec.samples)
        quantizer = quantizer_for(
            job, lambda graph: calibrate(job, graph, Cache(spec.cache), Silent(), threads=1), threads=1
        )
        self._programs = Programs(quantizer, spec.memory_limit)
        self._metric = job.metric
        self._validation = Validation(
            spec.samples,
            Spill.opened(spec.spill / "inputs", count, spec.input_names),
            Spill.opened(spec.spill / "reference", count, spec.output_names),
            job.outputs,
            spec.batch,
        )

    def __call__(self, unit: Unit, stopped: Callable[[], bool] = lambda: False) -> Measured:
        """Return the records of a unit; it ends before its next batch when `stopped` says so."""
        return measure(unit, self._programs.runner, self._validation, self._metric, stopped=stopped)


@dataclass(frozen=True)
class Sent:
    """A unit on its way to a worker; `at` is the wall-clock time, which processes and machines share."""

    unit: Unit
    at: float

    def received(self) -> Unit:
        """Return the unit with the time that is left of its seconds: those it has waited count."""
        if self.unit.seconds is None:
            return self.unit
        waited = max(0.0, time.time() - self.at)
        return replace(self.unit, seconds=max(0.0, self.unit.seconds - waited))


def sent(unit: Unit) -> Sent:
    """Return the unit, marked with the time of this moment."""
    return Sent(unit, time.time())


_worker: list[tuple[Worker, Event]] = []  # the job of this process, opened by its initializer; when to stop


def _open(spec: WorkerSpec, stop: Event) -> None:
    _end_with_parent()
    _worker.append((Worker(spec), stop))


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


def _work(item: Sent) -> Measured:
    worker, stop = _worker[0]
    return worker(item.received(), stop.is_set)


class Processes:
    """Runs units in `count` processes; the records are those that one process would give."""

    def __init__(self, spec: WorkerSpec, count: int) -> None:
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_open, initargs=(spec, self._stop))

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the results in the order of the units; one unit waits beside those that run."""
        source = iter(units)
        running: deque[Future[Measured]] = deque()
        while True:
            while len(running) <= self._count and (unit := next(source, None)) is not None:
                running.append(self._submit(unit))
            if not running:
                return
            found = _result(running.popleft())
            on_batch(len(found.records), found.records)
            yield found

    def _submit(self, unit: Unit) -> Future[Measured]:
        with _uninterrupted():  # the process that may be started here inherits it
            return self._pool.submit(_work, sent(unit))

    def close(self) -> None:
        """Stop the processes after their batch; units that have not begun are forgotten."""
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


def workers(spec: WorkerSpec, settings: SmartSearchSection) -> Executor:
    """Return the executor that the settings ask for."""
    if settings.executor == "ray":
        from slimai.app.ray_executor import Actors

        return Actors(spec, settings.workers)
    return Processes(spec, settings.workers)


def _result(future: Future[Measured]) -> Measured:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return future.result()
    except BrokenProcessPool as error:
        raise SlimaiError(
            "smart_search.workers: a worker process died (out of memory?); run again with fewer workers, it continues"
        ) from error
