"""How the units of a search are cut for more workers, and put together again."""

from __future__ import annotations

import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from slimai.app.run.crew_executor import PIECE_IMAGES, CrewExecutor, joined, pieces
from slimai.errors import SlimaiError
from slimai.search.candidate import Candidate
from slimai.search.units import Measured, Unit


@given(st.integers(0, 3000), st.integers(1, 300), st.integers(0, 40), st.integers(1, 32))
def test_pieces_are_whole_batches_in_order_and_large_enough(images, workers, following, batch):
    unit = Unit(Candidate(1), tuple(range(7, 7 + images)), 5.0, following)
    found = pieces(unit, workers, batch)
    assert tuple(index for piece in found for index in piece.indices) == unit.indices
    assert all((piece.candidate, piece.seconds) == (unit.candidate, 5.0) for piece in found)
    assert all(len(piece.indices) % batch == 0 for piece in found[:-1])
    assert len(found) <= math.ceil(workers / (following + 1))
    assert len(found) == 1 or all(len(piece.indices) >= PIECE_IMAGES for piece in found[:-1])


def test_the_last_units_of_a_search_keep_all_workers_busy():
    cut = [
        len(pieces(Unit(Candidate(0), tuple(range(1024)), following=following), 4, 8)) for following in (5, 3, 2, 1, 0)
    ]
    assert cut == [1, 1, 2, 2, 4]


def records(*numbers):
    return tuple({"image": number} for number in numbers)


def test_pieces_behind_one_that_is_not_whole_do_not_count():
    first, short, last = (
        Measured(records(1, 2), True, seconds=1.0),
        Measured(records(3), False, seconds=2.0),
        Measured(records(5, 6), True, seconds=4.0),
    )
    assert joined([first, last]) == Measured(records(1, 2, 5, 6), True, seconds=5.0)
    assert joined([first, short, last]) == Measured(records(1, 2, 3), False, seconds=7.0)


def test_a_piece_that_fails_fails_the_unit():
    error = SlimaiError("cannot be compiled")
    found = joined([Measured(records(1), True), Measured((), False, error=error)])
    assert (found.records, found.complete, found.error) == ((), False, error)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=8), st.integers(1, 9))
def test_each_unit_comes_back_whole_and_its_images_are_told_once(units, workers):
    """lengths and where each is cut short: the first so many images of a unit are run, whatever its pieces."""
    validation = SimpleNamespace(
        samples=range(400), batch=4, inputs=SimpleNamespace(names=()), reference=SimpleNamespace(names=())
    )

    def run(works):
        for work in works:
            limit = limits[work.unit.candidate]
            known = [index for index in work.unit.indices if index < limit]
            yield Measured(records(*known), len(known) == len(work.unit.indices), seconds=1.0)

    limits = {Candidate(0, percent=number): limit for number, (_, limit) in enumerate(units)}
    given_out = [
        Unit(candidate, tuple(range(length)), following=len(units) - 1 - number)
        for number, (candidate, (length, _)) in enumerate(zip(limits, units, strict=True))
    ]
    told = []
    executor = CrewExecutor(SimpleNamespace(run=run, workers=workers), validation, {})
    found = list(executor.stream(given_out, lambda count, sofar: told.append((count, len(sofar)))))
    assert [item.records for item in found] == [records(*range(min(pair))) for pair in units]
    assert [item.complete for item in found] == [length <= limit for length, limit in units]
    assert sum(count for count, _ in told) == sum(min(pair) for pair in units)
