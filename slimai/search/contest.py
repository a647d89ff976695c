"""The entrants of one search, their journal and records: what the strategies share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from slimai.artifacts.journal import Journal
from slimai.metrics.base import Metric, Record
from slimai.search.candidate import Candidate, Outcome, best, outcome_from_json
from slimai.search.evaluate import Validation
from slimai.search.events import Reporter, Stage
from slimai.search.race import interval
from slimai.search.records import load_records, save_records
from slimai.search.units import Executor, Unit


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


@dataclass(frozen=True)
class SearchSetup:
    """What a search needs.

    score_key: hash of everything besides the integer parameters that decides a score (images, metric,
    arithmetic, version). plan_key: hash of everything besides the candidate that decides its integers. A journal
    entry counts only under the same keys. started, deadline: monotonic seconds. on_outcome is called after every
    finished candidate with the state so far.
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
    strategy: Literal["exhaustive", "racing"] = "exhaustive"
    tolerance: float = 0.005
    seed: int = 0
    started: float = field(default_factory=time.monotonic)
    deadline: float | None = None
    on_outcome: Callable[[SearchState], None] = lambda _: None


@dataclass
class SearchState:
    """Outcomes in candidate order; `cut_short` is the reason of an early end, or empty."""

    outcomes: list[Outcome] = field(default_factory=list)
    cut_short: str = ""

    @property
    def best(self) -> Outcome | None:
        """The best fully measured outcome so far."""
        return best(self.outcomes)


@dataclass
class Entrant:
    """Candidates that quantize to the same integers: run once, reported each."""

    key: str
    candidates: list[Candidate]
    latencies: list[float | None]
    records: list[Record] = field(default_factory=list)
    outcome: Outcome | None = None

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of every candidate, or nothing before there is one."""
        if self.outcome is None:
            return []
        pairs = zip(self.candidates, self.latencies, strict=True)
        return [replace(self.outcome, candidate=candidate, latency_ms=ms) for candidate, ms in pairs]


class Contest:
    """One search in progress."""

    def __init__(self, setup: SearchSetup, stage: Stage) -> None:
        self.setup = setup
        self.stage = stage
        self.state = SearchState()
        self.entrants: dict[str, Entrant] = {}
        self._by_key, self._by_candidate = _journaled(setup)
        self._marked = setup.started

    def settled(self, candidate: Candidate) -> bool:
        """Take over the candidate's outcome from the journal, without quantizing it; False when it has none."""
        outcome = self._by_candidate.get(candidate)
        if outcome is None:
            return False
        self._join(outcome.key, candidate, outcome.latency_ms, outcome)
        return True

    def enter(self, candidate: Candidate) -> Entrant:
        """Quantize the candidate and return its entrant: a new one, or the one with the same integers.

        A race does not take outcomes from the journal but replays its records, which it keeps for that: who is
        dropped depends on all who run.
        """
        prepared = self.setup.prepare(candidate)
        known = None if self.setup.strategy == "racing" else self._by_key.get(prepared.key)
        entrant = self._join(prepared.key, candidate, prepared.latency_ms, known)
        if not entrant.records and entrant.outcome is None:
            entrant.records = load_records(self._records_path(entrant))
            self.stage.advance(len(entrant.records))
        elif entrant.outcome is not None and entrant.outcome.status == "full":
            self._journal(replace(entrant.outcome, candidate=candidate, latency_ms=prepared.latency_ms))
        return entrant

    def _join(self, key: str, candidate: Candidate, latency: float | None, known: Outcome | None) -> Entrant:
        entrant = self.entrants.get(key)
        if entrant is None:
            entrant = self.entrants[key] = Entrant(key, [], [], outcome=known)
        entrant.candidates.append(candidate)
        entrant.latencies.append(latency)
        return entrant

    def unit(self, entrant: Entrant, order: Sequence[int], *, limited: bool = True) -> Unit:
        """Return the work that extends the entrant's records to the images `order`."""
        deadline = self.setup.deadline if limited else None
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        return Unit(entrant.candidates[0], tuple(order[len(entrant.records) :]), seconds)

    def late(self) -> bool:
        """Return whether the deadline has passed."""
        return self.setup.deadline is not None and time.monotonic() >= self.setup.deadline

    def keep_records(self, entrant: Entrant) -> None:
        """Store the records of an entrant that is not finished."""
        save_records(self._records_path(entrant), entrant.records)

    def settle(
        self, entrant: Entrant, status: Literal["full", "partial"], note: str = "", *, images: int | None = None
    ) -> None:
        """Turn the entrant's records (the first `images`) into its outcome; a full one is journaled first."""
        setup = self.setup
        records = entrant.records[:images]
        result = setup.metric.combine(records)
        full = status == "full"
        entrant.outcome = Outcome(
            candidate=entrant.candidates[0],
            status=status,
            value=result.value,
            score=result.score,
            latency_ms=entrant.latencies[0],
            images=len(records),
            key=entrant.key,
            values=dict(result.values),
            interval=interval(setup.metric, records, setup.seed) if full else None,
            note=note,
        )
        if full:
            for outcome in entrant.outcomes():
                self._journal(outcome)
            if setup.strategy == "exhaustive":
                self._records_path(entrant).unlink(missing_ok=True)

    def publish(self) -> None:
        """Refresh the state from the entrants, in candidate order, and tell the listener."""
        found = {item.candidate: item for entrant in self.entrants.values() for item in entrant.outcomes()}
        self.state.outcomes = [found[item] for item in self.setup.candidates if item in found]
        leader = self.state.best
        if leader is not None and leader.score is not None:
            name = leader.candidate.profile(self.setup.network)
            self.stage.note(f"best {name} L{leader.candidate.level} {leader.score:.4f}")
        self.setup.on_outcome(self.state)

    def _journal(self, outcome: Outcome) -> None:
        if outcome.candidate in self._by_candidate:
            return
        now = time.monotonic()
        entry = {
            "score_key": self.setup.score_key,
            "plan_key": self.setup.plan_key,
            "seconds": round(now - self._marked, 3),
            "outcome": outcome.to_json(self.setup.network),
        }
        self._marked = now
        self.setup.journal.append(entry)

    def _records_path(self, entrant: Entrant) -> Path:
        setup = self.setup  # the order of the images depends on strategy and seed
        order = setup.strategy if setup.strategy == "exhaustive" else f"{setup.strategy}{setup.seed}"
        return setup.records_dir / f"{entrant.key[:16]}-{setup.score_key[:16]}-{order}.npz"


def _journaled(setup: SearchSetup) -> tuple[dict[str, Outcome], dict[Candidate, Outcome]]:
    """Return the journal's outcomes that count here: by integer parameters, and by candidate."""
    by_key: dict[str, Outcome] = {}
    by_candidate: dict[Candidate, Outcome] = {}
    for entry in setup.journal.entries():
        if entry.get("score_key") != setup.score_key or not isinstance(entry.get("outcome"), Mapping):
            continue
        outcome = outcome_from_json(entry["outcome"])
        by_key[outcome.key] = outcome
        if entry.get("plan_key") == setup.plan_key:
            by_candidate[outcome.candidate] = outcome
    return by_key, by_candidate


def seconds_spent(journal: Journal, score_key: str) -> float:
    """Return the seconds that earlier invocations of the same search took, as far as they were journaled."""
    entries: list[dict[str, Any]] = list(journal.entries())
    return sum(float(entry.get("seconds", 0.0)) for entry in entries if entry.get("score_key") == score_key)
