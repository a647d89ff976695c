"""The units of a search on the workers of a run, in pieces where there are more workers than units."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from slimai.app.execution.crew import Crew
from slimai.app.run.worker import UnitWork
from slimai.search.evaluate import OnBatch, Validation
from slimai.search.units import Measured, Unit

PIECE_IMAGES = 64  # that a piece has at least: a worker compiles the candidate for it, which takes about 16 of them


class CrewExecutor:
    """Runs the units of a search on the workers; the records are those that one process would give.

    edits: limits by tensor that a person has set.
    """

    def __init__(self, crew: Crew, validation: Validation, edits: Mapping[str, tuple[float, float]]) -> None:
        self._crew = crew
        self._validation = validation
        self._edits = edits

    def stream(self, units: Iterable[Unit], on_batch: OnBatch) -> Iterator[Measured]:
        """Yield the results in the order of the units."""
        given_out: deque[int] = deque()  # pieces of each unit

        def works() -> Iterator[UnitWork]:
            for unit in units:
                cut = pieces(unit, self._crew.workers, self._validation.batch)
                given_out.append(len(cut))
                for piece in cut:
                    yield UnitWork.sent(piece, self._validation, self._edits)

        results: Iterator[Measured] = self._crew.run(works())
        for first in results:
            found = [first]
            _tell(found, on_batch)
            for _ in range(given_out.popleft() - 1):
                found.append(next(results))
                _tell(found, on_batch)
            yield joined(found)

    def close(self) -> None:
        """Stop the workers: nothing after the search needs them."""
        self._crew.close()


def pieces(unit: Unit, workers: int, batch: int) -> list[Unit]:
    """Return the unit in pieces of whole batches, consecutive, so that it and those that follow keep `workers` busy.

    A piece has PIECE_IMAGES images or more, so that what a worker takes to compile the candidate does not count.
    """
    images = len(unit.indices)
    most = min(math.ceil(workers / (unit.following + 1)), images // PIECE_IMAGES)
    if most < 2:
        return [unit]
    step = batch * math.ceil(images / most / batch)
    return [replace(unit, indices=unit.indices[start : start + step]) for start in range(0, images, step)]


def joined(found: Sequence[Measured]) -> Measured:
    """Return what was measured of a unit, of its pieces in order; records behind one that is not whole do not count."""
    first = next((item for item in found if item.error is not None), None)
    if first is not None:
        return Measured((), complete=False, error=first.error)
    whole = _whole(found)
    records = tuple(record for item in whole for record in item.records)
    return Measured(records, all(item.complete for item in found), seconds=sum(item.seconds for item in found))


def _whole(found: Sequence[Measured]) -> Sequence[Measured]:
    """Return the pieces up to the first, included, that is not complete."""
    short = next((place for place, item in enumerate(found) if not item.complete), len(found))
    return found[: short + 1]


def _tell(found: Sequence[Measured], on_batch: OnBatch) -> None:
    """Report the last piece, unless one before it is not complete."""
    if len(_whole(found)) == len(found):
        on_batch(len(found[-1].records), joined(found).records)
