"""Sets of nodes in 16 bit, tried on the user's metric: by some images while sets are looked for, by all at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NoReturn

from slimai.app.candidates.programs import Planned, Programs
from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
from slimai.app.run.mix_budget import Budget
from slimai.errors import SlimaiError
from slimai.interrupts import answered, check
from slimai.metrics.base import Record
from slimai.number_text import decimals
from slimai.search.candidate import Candidate, Outcome, Variant
from slimai.search.choice import Bounds
from slimai.search.decision import keeps, trial_rungs
from slimai.search.evaluate import batches, measure_batch
from slimai.search.loop import INTERRUPTED, SearchSetup, SearchState, search
from slimai.search.race import image_order
from slimai.search.records import load_records, records_path, save_records
from slimai.search.units import Inline, Measured, Unit

PLANS = 4  # that wait to be run


class CutShort(Exception):  # noqa: N818 - not an error: the search ends early
    """The time limit has passed, or the user interrupted."""


@dataclass(frozen=True)
class Goal:
    """What has to be reached, or may be spent. float_score: of the float network."""

    bounds: Bounds
    budget: Budget | None
    float_score: float | None

    def __str__(self) -> str:
        """Return the goal in words."""
        return str(self.bounds) if self.budget is None else self.budget.text

    def kept_by(self, outcome: Outcome) -> bool:
        """Return whether an outcome keeps the bounds."""
        return self.bounds.kept_by(outcome, self.float_score)

    @property
    def allowed(self) -> float | None:
        """How far the score may be below float's; None where that cannot be said."""
        least = self.bounds.least(self.float_score)
        return None if least is None or self.float_score is None else self.float_score - least


@dataclass
class Trials:
    """The sets of nodes that were tried: those scored on all images are candidates of one growing search.

    state: of the base search, then with those. publish: is called when it has grown. images: run so far.
    """

    quantizer: Quantizer
    setup: SearchSetup
    goal: Goal
    memory_limit: int
    state: SearchState
    base: Outcome
    publish: Callable[[SearchState], None]
    images: int = 0
    _judged: dict[tuple[str, ...], bool] = field(default_factory=dict)

    @cached_property
    def _planned(self) -> Planned:
        return Planned(self.quantizer, PLANS)

    @cached_property
    def _executor(self) -> Inline:
        programs = Programs(self._planned.take, self.memory_limit, most=1)
        return Inline(lambda item: programs.runner(_unnumbered(item)), self.setup.validation, self.setup.metric)

    @cached_property
    def _order(self) -> list[int]:
        return image_order(len(self.setup.validation.samples), self.setup.seed)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {node.name: place for place, node in enumerate(self.quantizer.job.graph.nodes)}

    @cached_property
    def _float(self) -> list[Record]:
        """The float network's records of the images that trials see, in their order."""
        validation, records = self.setup.validation, list[Record]()
        for indices in batches(self._order[: trial_rungs(len(self._order))[-1]], validation.batch):
            outputs = validation.reference.pick(indices)
            records.extend(measure_batch(self.setup.metric, validation, indices, outputs))
        return records

    def within(self, names: Sequence[str]) -> bool:
        """Return whether these nodes in 16 bit stay within the latency, by the plan's estimate, or the budget."""
        item = self._prepared(names)
        if self.goal.budget is not None:
            return self.goal.budget.kept_by(item)
        limit = self.goal.bounds.latency_limit
        return limit is None or (item.latency_ms is not None and item.latency_ms <= limit)

    def _candidate(self, names: Sequence[str]) -> Candidate:
        raised = tuple(sorted(names, key=lambda name: self._place.get(name, 0)))
        return replace(self.base.candidate.having(Variant.MIX), raised=raised)

    def _prepared(self, names: Sequence[str]) -> QuantizedCandidate:
        return self._planned.prepare(self._candidate(names))

    def promises(self, names: Sequence[str]) -> bool:
        """Return whether these nodes in 16 bit seem to reach the goal, by as many images as tell it, a third at most.

        Where there is no float score to compare with, all images are run (`reaches`).
        """
        if self.goal.allowed is None:
            return self.reaches(names)
        candidate = self._candidate(names)
        if candidate.raised not in self._judged:
            self._judged[candidate.raised] = self._judge(candidate, self.goal.allowed)
        return self._judged[candidate.raised]

    def _judge(self, candidate: Candidate, allowed: float) -> bool:
        setup, images = self.setup, len(self._order)
        found: bool | None = None
        try:
            item = self._planned.prepare(candidate)
            for seen in trial_rungs(images):
                records = self._records(candidate, item.key, seen)
                found = keeps(setup.metric, records, self._float[:seen], allowed, images)
                if found is not None:
                    break
        except SlimaiError as error:  # what cannot be planned or run reaches nothing; told where it is scored
            setup.reporter.line(f"mix: {len(candidate.raised)} layers in 16 bit failed: {error}")
            return False
        told = f"mix: {len(candidate.raised)} layers in 16 bit, by {len(records)} images: {self.goal}"
        setup.reporter.line(f"{told} seems to be reached" if found else f"{told} is not reached")
        return bool(found)

    def _records(self, candidate: Candidate, key: str, seen: int) -> list[Record]:
        """Return the records of the first `seen` images in the race's order; those that are on disk are not run."""
        setup = self.setup
        path = records_path(setup.records_dir, key, setup.score_key, "mix", setup.seed)
        records = load_records(path)
        if len(records) >= seen:
            return records[:seen]
        if setup.watch.late():
            self._cut("time limit within a candidate")
        unit = Unit(candidate, tuple(self._order[len(records) : seen]), setup.watch.left())
        try:
            measured = self._measured(unit)
        except KeyboardInterrupt:
            answered()
            self._cut(INTERRUPTED)
        if measured.error is not None:
            raise measured.error
        records.extend(measured.records)
        self.images += len(measured.records)
        save_records(path, records)
        setup.watch.tick()
        if not measured.complete:
            self._cut("time limit within a candidate")
        return records

    def _measured(self, unit: Unit) -> Measured:
        with self.setup.reporter.stage(
            f"try {len(unit.candidate.raised)} layers in 16 bit", len(unit.indices)
        ) as stage:

            def on_batch(images: int, _records: Sequence[Record]) -> None:
                check()
                stage.advance(images)

            [measured] = self._executor.stream([unit], on_batch)
        return measured

    def _cut(self, why: str) -> NoReturn:
        self.state = replace(self.state, cut_short=why)
        raise CutShort

    def reaches(self, names: Sequence[str]) -> bool:
        """Return whether these nodes in 16 bit reach the goal, scored on all images."""
        outcome = self._scored(self._candidate(names))
        self._tell(outcome)
        return self.goal.kept_by(outcome)

    def _scored(self, candidate: Candidate) -> Outcome:
        setup = self.setup
        known = [item.candidate for item in self.state.outcomes]
        scored = next((item for item in self.state.outcomes if item.candidate.raised == candidate.raised), None)
        if scored is not None:
            return scored
        candidate = replace(candidate, trial=sum(1 for item in known if item.raised) + 1)
        self._hand_over(candidate)
        setup = replace(
            setup,
            candidates=(*known, candidate),
            prepare=lambda item: self._planned.prepare(_unnumbered(item)),
            executor=self._executor,
            strategy="exhaustive",
            on_outcome=lambda state: None if len(state.outcomes) < len(known) else self.publish(state),
        )
        self.state = search(setup)
        found = next((item for item in self.state.outcomes if item.candidate == candidate), None)
        if self.state.cut_short or found is None:
            raise CutShort
        return found

    def _hand_over(self, candidate: Candidate) -> None:
        """Run the images that a trial has left, and give all records to the search, in its order."""
        setup, images = self.setup, len(self._order)
        try:
            key = self._planned.prepare(candidate).key
            trial = records_path(setup.records_dir, key, setup.score_key, "mix", setup.seed)
            if not trial.exists():
                self.images += images
                return
            records = self._records(candidate, key, images)
        except SlimaiError:  # the search meets it again, and lists the candidate as failed
            return
        places = sorted(range(images), key=self._order.__getitem__)
        whole = records_path(setup.records_dir, key, setup.score_key, "exhaustive", setup.seed)
        save_records(whole, [records[place] for place in places], range(images))

    def _tell(self, outcome: Outcome) -> None:
        verdict = "reached" if self.goal.kept_by(outcome) else "not reached"
        self.setup.reporter.line(
            f"mix: {len(outcome.candidate.raised)} layers in 16 bit: score {decimals(outcome.score, 4)}, "
            f"{outcome.latency_ms or 0:.3f} ms; {self.goal} {verdict}"
        )


def _unnumbered(candidate: Candidate) -> Candidate:
    """Return the candidate as it was judged by a part of the images: numbers are for those that are listed."""
    return replace(candidate, trial=None)
