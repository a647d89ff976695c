"""Plans that wait between entering a search and being run."""

from __future__ import annotations

from slimai.app.candidates.programs import Planned
from slimai.search.candidate import Candidate

FIRST, SECOND, THIRD = (Candidate(level) for level in (0, 1, 2))


class Builder:
    def __init__(self):
        self.built = []

    def __call__(self, candidate):
        self.built.append(candidate)
        return object()


def test_a_prepared_plan_is_taken_once_and_then_built_anew():
    build = Builder()
    planned = Planned(build)
    prepared = planned.prepare(FIRST)
    assert planned.take(FIRST) is prepared
    assert planned.take(FIRST) is not prepared
    assert build.built == [FIRST, FIRST]


def test_only_so_many_plans_wait():
    build = Builder()
    planned = Planned(build, most=2)
    first, second, third = (planned.prepare(item) for item in (FIRST, SECOND, THIRD))
    assert planned.take(SECOND) is second
    assert planned.take(THIRD) is third
    assert planned.take(FIRST) is not first
    assert build.built == [FIRST, SECOND, THIRD, FIRST]


def test_waiting_plans_can_be_forgotten():
    build = Builder()
    planned = Planned(build)
    first = planned.prepare(FIRST)
    planned.clear()
    assert planned.take(FIRST) is not first
