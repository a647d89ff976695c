"""When a float pass is shared out, and where it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.app.execution import crew as sharing
from slimai.app.execution.crew import PART_SECONDS, Crew, parts
from slimai.schema.smart_search import SmartSearchSection
from slimai.search.events import Silent

OPENING = "the first work"


class Pool:
    def __init__(self, *, same=True):
        self.same = same
        self.opened = []
        self.open_jobs = True

    def open(self, work):
        self.opened.append(work)

    def ready(self):
        return self.open_jobs

    def same_machine(self):
        return self.same

    def close(self):
        pass


@pytest.fixture
def crew(monkeypatch):
    """Return a maker of crews whose pool is replaced, and the list of those pools."""
    pools = []

    def make(*, due, workers=2, same=True):
        def start(spec, settings):
            pools.append(Pool(same=same))
            return pools[-1]

        monkeypatch.setattr(sharing, "start_pool", start)
        return Crew(lambda: None, SmartSearchSection(workers=workers), Silent(), due=due)

    return make, pools


@given(
    st.integers(0, 40),
    st.integers(1, 400),
    st.integers(1, 32),
    st.floats(1e-4, 10),
    st.integers(1, 9),
)
def test_parts_are_whole_batches_that_cover_the_rest(first, count, batch, seconds, workers):
    start = first * batch
    found = parts(start, start + count, batch, seconds, workers)
    assert [image for begin, end in found for image in range(begin, end)] == list(range(start, start + count))
    assert all((begin - start) % batch == 0 for begin, _ in found)
    most = max(1, int(PART_SECONDS / seconds))
    assert all(end - begin <= most * batch for begin, end in found)


def test_parts_are_about_as_many_for_each_worker():
    assert parts(2, 100, 1, 0.085, 2) == [(2, 19), (19, 36), (36, 53), (53, 70), (70, 87), (87, 100)]
    assert parts(64, 200, 32, 0.01, 2) == [(64, 160), (160, 200)]


def test_small_work_starts_nothing(crew):
    make, pools = crew
    idle = make(due=False)
    assert not idle.takes(2 * (sharing.LEAST_SAVING + sharing.START_SECONDS) - 0.01, OPENING)
    assert pools == []
    assert idle.takes(2 * (sharing.LEAST_SAVING + sharing.START_SECONDS) + 0.01, OPENING)
    assert [pool.opened for pool in pools] == [[OPENING]]
    pools[0].open_jobs = False
    assert not idle.takes(1e6, OPENING), "they are not ready yet"
    pools[0].open_jobs = True
    assert idle.takes(2 * sharing.LEAST_SAVING + 0.01, OPENING), "they run already"
    assert [pool.opened for pool in pools] == [[OPENING]]


def test_workers_that_the_search_needs_anyhow_cost_no_start(crew):
    make, pools = crew
    due = make(due=True)
    assert not due.takes(2 * sharing.LEAST_SAVING - 0.01, OPENING)
    assert pools == []
    assert due.takes(2 * sharing.LEAST_SAVING + 0.01, OPENING)


def test_one_worker_never_takes_a_pass(crew):
    make, pools = crew
    assert not make(due=True, workers=1).takes(1e6, OPENING)
    assert pools == []


def test_other_processors_take_no_float_pass(crew):
    make, _ = crew
    assert not make(due=True, same=False).takes(1e6, OPENING)


def test_nothing_is_handed_to_workers_that_were_stopped(crew):
    make, pools = crew
    stopped = make(due=True)
    assert stopped.takes(1e6, OPENING)
    stopped.close()
    assert not stopped.takes(1e6, OPENING)
    assert len(pools) == 1
