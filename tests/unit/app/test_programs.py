"""How many compiled candidates are kept: by a process whose memory is counted, not measured."""

from __future__ import annotations

from decimal import Decimal
from weakref import WeakSet

import pytest

from slimai.app.candidates import memory_limit
from slimai.app.candidates.memory_limit import MIB, passed_limit, peak_bytes, resident_bytes, worker_share
from slimai.app.candidates.programs import Programs
from slimai.search.candidate import Candidate

BASE, COMPILED, BUFFERS = 100 * MIB, 10 * MIB, 15 * MIB


class Item:
    """A candidate that takes COMPILED when built and BUFFERS with its first run."""

    def __init__(self, memory, candidate):
        self.memory, self.candidate, self.held = memory, candidate, COMPILED
        memory.items.add(self)
        memory.built += 1

    def runner(self):
        def run(feeds):
            self.held = COMPILED + BUFFERS
            self.memory.peak = max(self.memory.peak, self.memory())
            return feeds

        return run


class Memory:
    """Counts the items that somebody still holds."""

    def __init__(self):
        self.items, self.built, self.peak = WeakSet(), 0, 0

    def __call__(self):
        return BASE + sum(item.held for item in self.items)


def candidates(count):
    return [Candidate(1, Decimal(index + 1)) for index in range(count)]


def race(limit, count=8, rungs=3, **settings):
    """Run every candidate in every rung; return (memory, programs, warnings)."""
    memory, warnings = Memory(), []
    kept = Programs(lambda candidate: Item(memory, candidate), limit, warn=warnings.append, resident=memory, **settings)
    for _ in range(rungs):
        for candidate in candidates(count):
            kept.runner(candidate)({})
    return memory, kept, warnings


def test_all_are_kept_where_there_is_room():
    memory, kept, warnings = race(1000 * MIB)
    assert (memory.built, len(kept), warnings) == (8, 8, [])


@pytest.mark.parametrize("limit", [140, 160, 200, 250])
def test_the_limit_is_never_passed_and_room_is_used(limit):
    memory, kept, warnings = race(limit * MIB)
    assert memory.peak <= limit * MIB
    assert warnings == []
    assert BASE + (len(kept) + 1) * (COMPILED + BUFFERS) > 0.9 * limit * MIB
    assert memory.built > 8


def test_the_number_is_limited_too():
    _, kept, _ = race(10000 * MIB, most=3)
    assert len(kept) == 3


def test_a_limit_below_one_candidate_is_told_once_with_what_it_takes():
    memory, kept, warnings = race(110 * MIB)
    assert len(kept) == 1
    assert memory.peak == 125 * MIB
    (warning,) = warnings
    assert warning == (
        "smart_search.memory_limit: 110 MiB are too little for this network: the process holds 125 MiB with one "
        "candidate; the search goes on, give at least that"
    )


def test_cleared_programs_are_gone():
    memory, kept, _ = race(1000 * MIB)
    kept.clear()
    assert memory() == BASE


def test_workers_share_what_this_process_leaves(monkeypatch):
    said = []
    monkeypatch.setattr(memory_limit, "resident_bytes", lambda: 300 * MIB)
    assert worker_share(1500 * MIB, 2, said.append) == 600 * MIB
    assert said == []
    assert worker_share(800 * MIB, 2, said.append) == 250 * MIB
    assert worker_share(100 * MIB, 2, said.append) == 1
    assert said[0] == (
        "smart_search.memory_limit: 800 MiB are too little for 2 workers: this process holds 300 MiB and each worker "
        "will hold about as much; the search goes on, give at least 900 MiB or lower smart_search.workers"
    )
    assert len(said) == 2


def test_a_limit_that_was_passed_outside_of_the_search_is_told():
    assert passed_limit(None, 500 * MIB) == ""
    assert passed_limit(500 * MIB, 500 * MIB) == ""
    assert passed_limit(400 * MIB, 500 * MIB + 1) == (
        "smart_search.memory_limit: this process has held up to 501 MiB, more than 400 MiB: calibration and report "
        "need what they need; give at least that much"
    )
    assert resident_bytes() <= peak_bytes() + MIB


def test_the_reading_is_that_of_the_system():
    import numpy as np

    before = resident_bytes()
    block = np.ones(64 * MIB, np.uint8)
    assert 60 * MIB <= resident_bytes() - before <= 80 * MIB
    del block


@pytest.mark.parametrize(("limit", "asked"), [(1000 * MIB, False), (120 * MIB, True)])
def test_what_can_be_made_again_is_given_back_only_when_no_program_is_left(limit, asked):
    calls = []
    _, kept, _ = race(limit, spare=lambda: calls.append(1))
    assert bool(calls) is asked
    assert len(kept) == (1 if asked else 8)
