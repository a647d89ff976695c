"""Strategy x evaluator x journal: score candidates, keep the best so far on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from slimai.artifacts.journal import Journal
from slimai.metrics.base import Metric, Record
from slimai.search.candidate import Candidate, Outcome, best, outcome_from_json
from slimai.search.evaluate import Runner, Validation, evaluate
from slimai.search.events import Reporter, Stage
from slimai.search.race import interval
from slimai.search.records import load_records, save_records


class Prepared(Protocol):
    """A quantized candidate, ready to run. key: hash of its integer parameters."""

    @property
    def key(self) -> str:
        """Hash of the integer parameters."""
        ...

    @property
    def latency_ms(self) -> float | None:
        """Estimated time of a frame on the target."""
        ...

    def runner(self) -> Runner:
        """Return what runs it; built on first use."""
        ...

    def release(self) -> None:
        """Give back the memory that running it takes."""
        ...


@dataclass(frozen=True)
class SearchSetup:
    """What a search needs.

    content_key: hash of everything besides the integer parameters that decides a score (images, metric,
    arithmetic, version); a journal entry counts only under the same key. deadline: monotonic seconds.
    on_outcome is called after every finished candidate with the state so far.
    """

    candidates: tuple[Candidate, ...]
    prepare: Callable[[Candidate], Prepared]
    validation: Validation
    metric: Metric
    content_key: str
    journal: Journal
    records_dir: Path
    reporter: Reporter
    network: str
    strategy: Literal["exhaustive", "racing"] = "exhaustive"
    tolerance: float = 0.005
    seed: int = 0
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

    prepared: Prepared
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
    """The entrants of one search with their journal; what both strategies share."""

    def __init__(self, setup: SearchSetup, stage: Stage) -> None:
        self.setup = setup
        self.stage = stage
        self.state = SearchState()
        self.entrants: dict[str, Entrant] = {}
        self._known = _journaled(setup)

    def enter(self, candidate: Candidate) -> Entrant:
        """Return the entrant of `candidate`; an outcome in the journal is taken over."""
        prepared = self.setup.prepare(candidate)
        key = f"{prepared.key}:{self.setup.content_key}"
        if key in self.entrants:
            entrant = self.entrants[key]
            entrant.candidates.append(candidate)
            entrant.latencies.append(prepared.latency_ms)
            return entrant
        entrant = Entrant(prepared, [candidate], [prepared.latency_ms], outcome=self._known.get(key))
        self.entrants[key] = entrant
        return entrant

    def late(self) -> bool:
        """Return whether the deadline has passed."""
        return self.setup.deadline is not None and time.monotonic() >= self.setup.deadline

    def run(self, entrant: Entrant, order: Sequence[int], *, deadline: float | None) -> bool:
        """Extend the entrant's records to the images `order`; False when the deadline came first."""
        if not entrant.records:
            entrant.records = load_records(self._records_path(entrant))
            self.stage.advance(len(entrant.records))
        rest = order[len(entrant.records) :]
        if not rest:
            return True
        found = evaluate(
            entrant.prepared.runner(),
            self.setup.validation,
            self.setup.metric,
            rest,
            deadline=deadline,
            on_batch=self.stage.advance,
        )
        entrant.records.extend(found.records)
        return found.complete

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
            key=entrant.prepared.key,
            values=dict(result.values),
            interval=interval(setup.metric, records, setup.seed) if full else None,
            note=note,
        )
        if full:
            key = f"{entrant.prepared.key}:{setup.content_key}"
            setup.journal.append({"key": key, "outcome": entrant.outcome.to_json(setup.network)})
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

    def _records_path(self, entrant: Entrant) -> Path:
        setup = self.setup  # the order of the images depends on strategy and seed
        order = setup.strategy if setup.strategy == "exhaustive" else f"{setup.strategy}{setup.seed}"
        return setup.records_dir / f"{entrant.prepared.key[:16]}-{setup.content_key[:16]}-{order}.npz"


def search(setup: SearchSetup) -> SearchState:
    """Return the outcomes of the candidates under the setup's strategy.

    At least one candidate is always completed; after the deadline the rest is left out and the state says so.
    """
    from slimai.search.racing import racing

    steps = len(setup.candidates) * len(setup.validation.samples)
    with setup.reporter.stage("score candidates", steps) as stage:
        contest = Contest(setup, stage)
        return racing(contest) if setup.strategy == "racing" else exhaustive(contest)


def exhaustive(contest: Contest) -> SearchState:
    """Score every candidate on the whole validation set, in order; equal integers are scored once."""
    setup, state = contest.setup, contest.state
    order = range(len(setup.validation.samples))
    for position, candidate in enumerate(setup.candidates):
        first = state.best is None
        if contest.late() and not first:
            state.cut_short = f"time limit after {position} of {len(setup.candidates)} candidates"
            break
        entrant = contest.enter(candidate)
        if entrant.outcome is not None:
            contest.stage.advance(len(order))
        elif contest.run(entrant, order, deadline=None if first else setup.deadline):
            contest.settle(entrant, "full")
        else:
            contest.keep_records(entrant)
            contest.settle(entrant, "partial", "time limit")
            state.cut_short = f"time limit within candidate {position + 1} of {len(setup.candidates)}"
        entrant.prepared.release()
        contest.publish()
        if state.cut_short:
            break
    return state


def _journaled(setup: SearchSetup) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for entry in setup.journal.entries():
        key = entry.get("key")
        if isinstance(key, str) and key.endswith(f":{setup.content_key}") and isinstance(entry.get("outcome"), dict):
            found[key] = outcome_from_json(entry["outcome"])
    return found
