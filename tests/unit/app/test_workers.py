"""Workers as processes: what is said when one dies, or cannot be started, at any moment, and that none stays."""

import errno
import multiprocessing
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import slimai.app.execution.processes
from slimai.app.execution.processes import Processes
from slimai.app.run.worker import WorkerSpec
from slimai.errors import SlimaiError

SPEC = WorkerSpec("{}", Path(), "", Path(), Path(), (), (), 1 << 20)
FULL = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
CANNOT = f"smart_search.workers: a worker process cannot be started ({FULL}); run again with fewer workers"
DIED = "smart_search.workers: a worker process died (out of memory?); run again with fewer workers, it continues"


LONG = 1.0  # seconds that a work sleeps: the pool notices a death at the latest when another worker is done


@pytest.fixture(autouse=True)
def _sleeping(monkeypatch):
    monkeypatch.setattr(slimai.app.execution.processes, "_work", time.sleep)


@pytest.fixture
def pool():
    processes = Processes(SPEC, 2)
    yield processes
    processes.close()
    assert multiprocessing.active_children() == []


def settled(pool):
    deadline = time.monotonic() + 60
    while not all(future.done() for future in pool._opening):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_that_dies_while_it_starts_is_told_when_its_work_is_asked_for(pool):
    pool.open(LONG)
    multiprocessing.active_children()[0].kill()
    settled(pool)
    with pytest.raises(SlimaiError) as caught:
        pool.ready()
    assert str(caught.value) == DIED


def test_more_work_for_workers_of_which_one_has_died_is_refused_with_the_same_words(pool):
    pool.open(LONG)
    multiprocessing.active_children()[0].kill()
    settled(pool)
    with pytest.raises(SlimaiError) as caught:
        pool.open(LONG)
    assert str(caught.value) == DIED


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("handle is closed"), DIED),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), DIED),
        (FULL, CANNOT),
    ],
)
def test_a_process_that_cannot_be_started_is_told(pool, monkeypatch, error, said):
    def start(self):
        raise error

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", start)
    with pytest.raises(SlimaiError) as caught:
        pool.open(LONG)
    assert str(caught.value) == said


def test_a_process_started_while_another_dies_ends_too(monkeypatch):
    processes = Processes(SPEC, 2)
    kind = multiprocessing.get_context("spawn").Process
    plain, started, noticed = kind.start, [], []

    def start(self):
        plain(self)
        started.append(self)
        if len(started) == 2:  # the pool breaks before it has taken note of this one
            started[0].kill()
            until = time.monotonic() + 10
            while not processes._pool._broken and time.monotonic() < until:
                time.sleep(0.01)
            noticed.append(bool(processes._pool._broken))
            time.sleep(0.2)

    monkeypatch.setattr(kind, "start", start)
    with suppress(SlimaiError):
        processes.open(LONG)
    if not all(noticed):  # as of Python 3.11.2, whose pool waits for the lock that it holds while it starts a process
        processes.close()
        pytest.skip("this Python's pool does not notice a dead process while it starts another")
    assert started[1].is_alive()
    closing = threading.Thread(target=processes.close, daemon=True)
    closing.start()
    closing.join(timeout=30)
    ended = not closing.is_alive()
    started[1].kill()
    assert ended
    assert multiprocessing.active_children() == []
