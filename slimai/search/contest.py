"""The entrants of one search, their journal and records: what the strategies share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from slimai.artifacts.journal import Journal
from slimai.errors import SlimaiError
from slimai.interrupts import check
from slimai.metrics.base import Metric, Record, Result
from slimai.search.candidate import Candidate, Cost, Outcome, best, candidate_from_json, outcome_from_json
from slimai.search.evaluate import Validation
from slimai.search.events import Reporter, Stage
from slimai.search.guarantee import Guarantee
from slimai.search.headline import Headline
from slimai.search.race import image_order, interval
from slimai.search.records import load_images, load_records, records_path, save_records
from slimai.search.stopwatch import Stopwatch
from slimai.search.units import Executor, Measured, Unit

Answer = TypeVar("Answer")


class Prepared(Protocol):
    """A quantized candidate."""

    @property
    def key(self) -> str:
        """Hash of the integer parameters."""
        ...

    @property
    def latency_ms(self) -> float | None:
        """Estimated time of a frame on the target."""
        ...

    @property
    def arena(self) -> int | None:
        """Bytes of the activations' memory, or None where layers run on the host."""
        ...


@dataclass(frozen=True)
class SearchSetup:
    """What a search needs.

    score_key: hash of everything besides the integer parameters that decides a score (images, metric,
    arithmetic, version). plan_key: hash of everything besides the candidate that decides its integers. A journal
    entry counts only under the same keys. watch: the time that is counted and limited. on_outcome is called after
    every finished candidate with the state so far, once there is a best one. failures: what has failed in this
    invocation, which is not tried again.
    """

    candidates: tuple[Candidate, ...]
    prepare: Callable[[Candidate], Prepared]
    executor: Executor
    validation: Validation
    metric: Metric
    score_key: str
    plan_key: str
    journal: Journal
    records_dir: Path
    reporter: Reporter
    network: str
    watch: Stopwatch
    strategy: Literal["exhaustive", "racing"] = "exhaustive"
    tolerance: float = 0.005
    guarantee: Literal["none", "certified"] = "none"
    error: float = 0.05
    seed: int = 0
    on_outcome: Callable[[SearchState], None] = lambda _: None
    failures: dict[Candidate, SlimaiError] = field(default_factory=dict)


@dataclass
class SearchState:
    """Outcomes in candidate order; `cut_short` is the reason of an early end, or empty.

    guarantee: of a race that was to have one, what it says of its winner; None for other searches. missed: a stated
    budget that not even the cheapest candidate keeps, or empty.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    cut_short: str = ""
    guarantee: Guarantee | None = None
    missed: str = ""

    @property
    def best(self) -> Outcome | None:
        """The best fully measured outcome so far."""
        return best(self.outcomes)


@dataclass
class Entrant:
    """Candidates that quantize to the same integers: run once, reported each. images: of which the records are."""

    key: str
    candidates: list[Candidate]
    costs: list[Cost]
    records: list[Record] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    outcome: Outcome | None = None

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of every candidate, or nothing before there is one."""
        if self.outcome is None:
            return []
        pairs = zip(self.candidates, self.costs, strict=True)
        return [replace(self.outcome, candidate=candidate, **cost._asdict()) for candidate, cost in pairs]


class Contest:
    """One search in progress."""

    def __init__(self, setup: SearchSetup, stage: Stage) -> None:
        self.setup = setup
        self.stage = stage
        self.state = SearchState()
        self.entrants: dict[str, Entrant] = {}
        self._running: deque[tuple[Entrant, tuple[int, ...]]] = deque()
        self._ran = [0.0, 0]  # seconds and images of this invocation
        self._headline = Headline(stage, setup.metric, setup.network, setup.watch.clock)
        self._by_key, self._by_candidate = _journaled(setup)
        self._planned = _planned(setup)

    def settled(self, candidate: Candidate) -> bool:
        """Take over the candidate's outcome from the journal, without quantizing it; False when it has none."""
        outcome = self._by_candidate.get(candidate)
        if outcome is None:
            return False
        self._join(outcome.key, candidate, outcome.cost, outcome)
        return True

    def planned(self, candidate: Candidate) -> bool:
        """Return whether the candidate can be entered without quantizing it."""
        return candidate in self._planned or candidate in self.setup.failures

    def enter(self, candidate: Candidate) -> Entrant:
        """Quantize the candidate and return its entrant: a new one, or the one with the same integers.

        A race does not take outcomes from the journal but replays its records, which it keeps for that: who is
        dropped depends on all who run. A candidate that cannot be quantized gets an entrant of its own, `failed`.
        """
        try:
            key, cost = self._plan(candidate)
        except SlimaiError as error:
            entrant = self._join(f"failed {candidate!r}", candidate, Cost(), None)
            self._fail(entrant, error)
            return entrant
        known = None if self.setup.strategy == "racing" else self._by_key.get(key)
        entrant = self._join(key, candidate, cost, known)
        if not entrant.records and entrant.outcome is None:
            self._load(entrant)
            self.stage.advance(len(entrant.records))
        elif entrant.outcome is not None and entrant.outcome.status == "full":
            self._journal(replace(entrant.outcome, candidate=candidate, **cost._asdict()))
        return entrant

    def _plan(self, candidate: Candidate) -> tuple[str, Cost]:
        """Return key and cost of a candidate: planned now, or as journaled by an earlier invocation."""
        failure = self.setup.failures.get(candidate)
        if failure is not None:
            raise failure
        if candidate not in self._planned:
            self._headline.begin(candidate)
            prepared = self.setup.prepare(candidate)
            self._planned[candidate] = found = (prepared.key, Cost(prepared.latency_ms, prepared.arena))
            entry = {"plan_key": self.setup.plan_key, "planned": candidate.to_json()}
            self.setup.journal.append({**entry, "key": found[0], **found[1]._asdict()})
            self.setup.watch.tick()
        return self._planned[candidate]

    def _join(self, key: str, candidate: Candidate, cost: Cost, known: Outcome | None) -> Entrant:
        entrant = self.entrants.get(key)
        if entrant is None:
            entrant = self.entrants[key] = Entrant(key, [], [], outcome=known)
        entrant.candidates.append(candidate)
        entrant.costs.append(cost)
        return entrant

    def unit(self, entrant: Entrant, order: Sequence[int], seconds: float | None, following: int = 0) -> Unit:
        """Return the work that extends the entrant's records to the images `order`; units are taken in as given out.

        following: see `Unit`.
        """
        run = set(entrant.images)
        indices = tuple(index for index in order if index not in run)
        self._running.append((entrant, indices))
        if len(self._running) == 1:
            self._headline.begin(entrant.candidates[0])
        return Unit(entrant.candidates[0], indices, seconds, following)

    def on_batch(self, images: int, records: Sequence[Record]) -> None:
        """Count images of the unit that was given out first; `records`: all of the unit so far."""
        check()
        self.stage.advance(images)
        self.setup.watch.tick()
        if self._running:
            entrant, _ = self._running[0]
            self._headline.scored(entrant.candidates[0], entrant.records, records)

    def take_in(self, measured: Measured) -> tuple[Entrant, bool]:
        """Add what was measured of the unit that was given out first; return its entrant and whether it is whole.

        An entrant whose unit failed is settled as `failed`.
        """
        entrant, indices = self._running.popleft()
        if measured.error is not None:
            self._fail(entrant, measured.error)
        else:
            entrant.records.extend(measured.records)
            entrant.images.extend(indices[: len(measured.records)])
            self._ran[0] += measured.seconds
            self._ran[1] += len(measured.records)
        return entrant, measured.complete

    def late(self) -> bool:
        """Return whether the time limit is reached."""
        return self.setup.watch.late()

    def spare(self, images: int) -> float | None:
        """Return the seconds that the limit leaves beside those to complete one candidate of `images` images."""
        left = self.setup.watch.left()
        if left is None or self.has_full():
            return left
        seen = max((len(item.records) for item in self.unfinished()), default=0)
        seconds, ran = self._ran
        return max(0.0, left - (images - seen) * seconds / max(ran, 1))

    def begun(self) -> bool:
        """Return whether there is an entrant that has not failed."""
        return any(item.outcome is None or item.outcome.status != "failed" for item in self.entrants.values())

    def unfinished(self) -> list[Entrant]:
        """Return the entrants that are neither scored on all images nor failed."""
        return [item for item in self.entrants.values() if item.outcome is None or item.outcome.status == "partial"]

    def has_full(self) -> bool:
        """Return whether an entrant is scored on all images."""
        return any(item.outcome is not None and item.outcome.status == "full" for item in self.entrants.values())

    def complete_one(self, entrants: Sequence[Entrant], order: Sequence[int]) -> bool:
        """Score the best entrant so far on the images `order` whatever the time, the next best if it fails.

        Return False when all fail.
        """
        waiting = sorted(entrants, key=lambda item: self._promise(item, len(order)), reverse=True)
        for entrant in waiting:
            if entrant.outcome is not None and entrant.outcome.status == "failed":
                continue
            if not entrant.records:
                self._load(entrant)
            complete = len(entrant.records) == len(order)
            if not complete:
                units = [self.unit(entrant, order, None)]
                for measured in self.setup.executor.stream(units, self.on_batch):
                    _, complete = self.take_in(measured)
            if complete:
                self.keep_records(entrant)
                self.settle(entrant, "full")
                if self.has_full():
                    return True
        return False

    def _promise(self, entrant: Entrant, images: int) -> tuple[bool, float]:
        """Return a key of how near to a good full score an entrant is; one that is whole stays the first choice."""
        found = (
            self.combined(entrant, entrant.records) if entrant.outcome is None and entrant.records else entrant.outcome
        )
        score = None if found is None else found.score
        return len(entrant.records) == images, -1.0 if score is None else score

    def keep_records(self, entrant: Entrant) -> None:
        """Store the records of an entrant."""
        save_records(self._records_path(entrant), entrant.records, entrant.images)

    def _load(self, entrant: Entrant) -> None:
        """Take the records of an entrant from the disk, as far as there are any."""
        path = self._records_path(entrant)
        images = load_images(path)
        records = [] if images is None else load_records(path)
        entrant.records, entrant.images = records, (images or [])[: len(records)]

    def _fail(self, entrant: Entrant, error: SlimaiError) -> None:
        """Settle an entrant that cannot be planned, compiled or run: it is listed, and the search goes on."""
        setup, first = self.setup, entrant.candidates[0]
        if first not in setup.failures:
            setup.reporter.warn(f"{first.profile(setup.network)} level {first.level} failed: {error}")
        setup.failures.update(dict.fromkeys(entrant.candidates, error))
        key = "" if entrant.key.startswith("failed") else entrant.key
        entrant.outcome = Outcome(first, "failed", key=key, note=str(error), **entrant.costs[0]._asdict())

    def settle(
        self,
        entrant: Entrant,
        status: Literal["full", "partial"],
        note: str = "",
        *,
        images: int | None = None,
        result: Result | None = None,
    ) -> None:
        """Turn the entrant's records (the first `images`) into its outcome; a full one is journaled first.

        result: what the metric says of them, where that is known. An entrant whose records it refuses is `failed`.
        """
        setup = self.setup
        if status == "full" and setup.strategy == "racing":  # in one order, whatever the turns that the race took
            places = dict(zip(entrant.images, entrant.records, strict=True))
            entrant.images = image_order(len(places), setup.seed)
            entrant.records = [places[index] for index in entrant.images]
        records = entrant.records[:images]
        result = self.combined(entrant, records) if result is None else result
        if result is None:
            return
        full = status == "full"
        entrant.outcome = Outcome(
            candidate=entrant.candidates[0],
            status=status,
            value=result.value,
            score=result.score,
            **entrant.costs[0]._asdict(),
            images=len(records),
            key=entrant.key,
            values=dict(result.values),
            interval=interval(setup.metric, records, result.per_image, setup.seed) if full else None,
            note=note,
        )
        if full:
            for outcome in entrant.outcomes():
                self._journal(outcome)
            if setup.strategy == "exhaustive":  # those of what is delivered stay, the run removes the others
                self.keep_records(entrant)
        # memory: those of a race are on disk, and needed again only if all finalists fail
        entrant.records, entrant.images = [], []

    def combined(self, entrant: Entrant, records: Sequence[Record]) -> Result | None:
        """Return what the metric says of records of the entrant; None when it refuses, and the entrant has failed."""
        return self.asked(entrant, lambda: self.setup.metric.combine(records))

    def asked(self, entrant: Entrant, question: Callable[[], Answer]) -> Answer | None:
        """Return what the metric answers about the entrant; None when it refuses, and the entrant has failed."""
        try:
            return question()
        except SlimaiError as error:
            self._fail(entrant, error)
            return None

    def publish(self) -> None:
        """Refresh the state from the entrants, in candidate order, and tell the listener once there is a best."""
        found = {item.candidate: item for entrant in self.entrants.values() for item in entrant.outcomes()}
        self.state.outcomes = [found[item] for item in self.setup.candidates if item in found]
        self._headline.best(self.state.best)
        if self.state.best is not None:
            self.setup.on_outcome(self.state)
        self.setup.watch.tick()

    def _journal(self, outcome: Outcome) -> None:
        if outcome.candidate in self._by_candidate:
            return
        keys = {"score_key": self.setup.score_key, "plan_key": self.setup.plan_key}
        self.setup.journal.append({**keys, "outcome": outcome.to_json(self.setup.network)})

    def _records_path(self, entrant: Entrant) -> Path:
        setup = self.setup
        return records_path(setup.records_dir, entrant.key, setup.score_key, setup.strategy, setup.seed)


def _journaled(setup: SearchSetup) -> tuple[dict[str, Outcome], dict[Candidate, Outcome]]:
    """Return the journal's outcomes that count here: by integer parameters, and by candidate."""
    by_key: dict[str, Outcome] = {}
    by_candidate: dict[Candidate, Outcome] = {}
    for entry in setup.journal.entries():
        if entry.get("score_key") != setup.score_key or not isinstance(entry.get("outcome"), Mapping):
            continue
        if "arena" not in entry["outcome"]:  # of a version that planned no memory
            continue
        outcome = outcome_from_json(entry["outcome"])
        by_key[outcome.key] = outcome
        if entry.get("plan_key") == setup.plan_key:
            by_candidate[outcome.candidate] = outcome
    return by_key, by_candidate


def _planned(setup: SearchSetup) -> dict[Candidate, tuple[str, Cost]]:
    """Return key and cost of the candidates that earlier invocations have quantized."""
    return {
        candidate_from_json(entry["planned"]): (entry["key"], Cost(entry["latency_ms"], entry["arena"]))
        for entry in setup.journal.entries()
        if entry.get("plan_key") == setup.plan_key and isinstance(entry.get("planned"), Mapping) and "arena" in entry
    }
