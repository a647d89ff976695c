"""What the two kinds of races have in common: entrants brought to the same images, and an end at the time limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from slimai.search.contest import Contest, Entrant
from slimai.search.guarantee import Guarantee
from slimai.search.units import Unit


def entered(contest: Contest) -> tuple[list[Entrant], bool]:
    """Return the entrants of all candidates, and whether the time limit left the time to quantize them all."""
    for candidate in contest.setup.candidates:
        if contest.late() and contest.begun() and not contest.planned(candidate):
            return unsettled(contest.entrants.values()), False
        contest.enter(candidate)
    return unsettled(contest.entrants.values()), True


def unsettled(entrants: Iterable[Entrant]) -> list[Entrant]:
    """Return the entrants without an outcome."""
    return [entrant for entrant in entrants if entrant.outcome is None]


def run_rung(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> bool:
    """Bring every entrant that does not fail to the images `order`; False when the time limit came first."""
    short = [entrant for entrant in alive if not set(order).issubset(entrant.images)]

    def units() -> Iterator[Unit]:
        for place, entrant in enumerate(short, start=1):
            spare = contest.spare(len(contest.setup.validation.samples))
            if spare is not None and not spare:
                return
            yield contest.unit(entrant, order, spare, len(short) - place)

    for measured in contest.setup.executor.stream(units(), contest.on_batch):
        entrant, _ = contest.take_in(measured)
        if measured.records:
            contest.keep_records(entrant)
    return all(set(order).issubset(entrant.images) for entrant in unsettled(short))


def complete_any(contest: Contest, order: Sequence[int]) -> None:
    """Where all finalists failed: complete one that was dropped, or one that was never begun."""
    if contest.has_full() or contest.complete_one(contest.unfinished(), order):
        return
    entered_ones = {candidate for entrant in contest.entrants.values() for candidate in entrant.candidates}
    for candidate in contest.setup.candidates:
        if candidate not in entered_ones and contest.complete_one([contest.enter(candidate)], order):
            return


def finish_late(contest: Contest, alive: Sequence[Entrant], order: Sequence[int]) -> None:
    """After the time limit: those that saw all images are full, at least one is completed, the rest is partial."""
    for entrant in alive:
        if len(entrant.records) == len(order):
            contest.settle(entrant, "full")
    if not contest.has_full():
        contest.complete_one(alive, order)
    for entrant in alive:
        if entrant.outcome is None and entrant.records:
            contest.settle(entrant, "partial", "time limit")
    contest.state.cut_short = "time limit during the race"


def state_guarantee(contest: Contest, missing: str) -> None:
    """Say what the race guarantees, where it was asked to. missing: why it guarantees nothing, or empty."""
    setup = contest.setup
    if setup.guarantee == "none":
        return
    run = sum(item.outcome.images for item in contest.entrants.values() if item.outcome is not None)
    share = run / max(1, len(contest.entrants) * len(setup.validation.samples))
    contest.state.guarantee = Guarantee(setup.tolerance, setup.error, share, missing or contest.state.cut_short)
