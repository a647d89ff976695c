"""Strategy x evaluator x journal: score every candidate once, keep the best so far on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from slimai.artifacts.journal import Journal
from slimai.errors import InputError
from slimai.metrics.base import Metric, Record, Result
from slimai.search.candidate import Candidate, Outcome, best, outcome_from_json
from slimai.search.evaluate import Runner, Validation, evaluate
from slimai.search.events import Reporter, Stage


class Prepared(Protocol):
    """A quantized candidate, ready to run."""

    key: str
    latency_ms: float | None

    def runner(self) -> Runner:
        """Return what runs it; built on first use."""
        ...


@dataclass(frozen=True)
class SearchSetup:
    """What a search needs.

    content_key: hash of everything besides the integer parameters that decides a score (images, metric,
    arithmetic, version); a journal entry counts only under the same key. on_outcome is called after every
    finished candidate with all outcomes so far.
    """

    candidates: tuple[Candidate, ...]
    prepare: Callable[[Candidate], Prepared]
    validation: Validation
    metric: Metric
    content_key: str
    journal: Journal
    reporter: Reporter
    network: str
    deadline: float | None = None
    on_outcome: Callable[[Sequence[Outcome]], None] = lambda _: None


@dataclass
class SearchState:
    """Outcomes in candidate order; `cut_short` is the reason of an early end, or empty."""

    outcomes: list[Outcome] = field(default_factory=list)
    cut_short: str = ""

    @property
    def best(self) -> Outcome | None:
        """The best fully measured outcome so far."""
        return best(self.outcomes)


def exhaustive(setup: SearchSetup) -> SearchState:
    """Return the outcome of every candidate, each scored on the whole validation set.

    Candidates that quantize to the same integers are scored once. After `deadline` no candidate is begun,
    but at least one is always completed.
    """
    state = SearchState()
    known = _journaled(setup)
    steps = len(setup.candidates) * len(setup.validation.samples)
    with setup.reporter.stage("score candidates", steps) as stage:
        for candidate in setup.candidates:
            if _late(setup) and state.best is not None:
                state.cut_short = f"time limit after {len(state.outcomes)} of {len(setup.candidates)} candidates"
                break
            outcome = _one(setup, candidate, known, stage, first=state.best is None)
            state.outcomes.append(outcome)
            _note(stage, setup, state)
            setup.on_outcome(state.outcomes)
            if outcome.status == "partial":
                state.cut_short = f"time limit within candidate {outcome.candidate.profile(setup.network)}"
                break
    return state


def _one(setup: SearchSetup, candidate: Candidate, known: dict[str, Outcome], stage: Stage, *, first: bool) -> Outcome:
    prepared = setup.prepare(candidate)
    key = f"{prepared.key}:{setup.content_key}"
    twin = known.get(key)
    if twin is not None:
        stage.advance(len(setup.validation.samples))
        return replace(twin, candidate=candidate, latency_ms=prepared.latency_ms)
    deadline = None if first else setup.deadline
    found = evaluate(
        prepared.runner(),
        setup.validation,
        setup.metric,
        deadline=deadline,
        on_batch=lambda images, _: stage.advance(images),
    )
    result = setup.metric.combine(found.records)
    outcome = _outcome(candidate, prepared, result, found.records, complete=found.complete)
    if found.complete:
        known[key] = outcome
        setup.journal.append({"key": key, "outcome": outcome.to_json(setup.network)})
    return outcome


def _outcome(
    candidate: Candidate, prepared: Prepared, result: Result, records: Sequence[Record], *, complete: bool
) -> Outcome:
    return Outcome(
        candidate=candidate,
        status="full" if complete else "partial",
        value=result.value,
        score=result.score,
        latency_ms=prepared.latency_ms,
        images=len(records),
        key=prepared.key,
        values=dict(result.values),
    )


def _journaled(setup: SearchSetup) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for entry in setup.journal.entries():
        key = entry.get("key")
        if isinstance(key, str) and key.endswith(f":{setup.content_key}") and isinstance(entry.get("outcome"), dict):
            found[key] = outcome_from_json(entry["outcome"])
    return found


def _late(setup: SearchSetup) -> bool:
    return setup.deadline is not None and time.monotonic() >= setup.deadline


def _note(stage: Stage, setup: SearchSetup, state: SearchState) -> None:
    leader = state.best
    if leader is not None and leader.score is not None:
        stage.note(f"best {leader.candidate.profile(setup.network)} L{leader.candidate.level} {leader.score:.4f}")


def check_scores(state: SearchState, score_range: tuple[float, float] | None) -> None:
    """Raise InputError when several candidates were asked for and the metric gives no usable score."""
    if score_range is None and len(state.outcomes) > 1 and all(item.score is None for item in state.outcomes):
        raise InputError.at(
            "metric",
            "several candidates need a score in [0, 1], and this metric gives none",
            cure="choose a metric with a score, or declare metric.score_range: [lo, hi]",
        )
