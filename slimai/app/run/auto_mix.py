"""`mix: auto`: the cheapest set of nodes in 16 bit that reaches the user's goal, and the rules file that says so.

Local figures order the layers: the noise of each layer alone (one float and two integer forwards of a few calibration
images) per extra cycle on the target. Only the length of that order is searched on the user's metric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from slimai.app.candidates.programs import Programs
from slimai.app.candidates.quantizer import Quantizer
from slimai.app.delivery.bounds import delivery_bounds
from slimai.app.run.mix_budget import Budget, budget_of
from slimai.app.run.mix_file import RULES_FILE, rules_text
from slimai.app.run.mix_ranking import Ranking
from slimai.artifacts.atomic import write_text
from slimai.number_text import decimals
from slimai.search.candidate import Candidate, Outcome, Variant
from slimai.search.choice import Bounds, Choice, choose
from slimai.search.events import Reporter
from slimai.search.knee import Costs, largest_prefix, smallest_prefix, without
from slimai.search.loop import SearchSetup, SearchState, search
from slimai.search.units import Inline

DROPS = 4  # members whose removal is tried, each a full evaluation
WORTH = 0.02  # of the estimated extra time, which a removal has to save to be tried


class _CutShort(Exception):  # noqa: N818 - not an error: the search ends early
    """The time limit has passed, or the user interrupted."""


@dataclass(frozen=True)
class AutoMix:
    """Extends the search of the base candidate by sets of nodes in 16 bit.

    setup: of the base search; its `on_outcome` writes the result files. float_score: of the float network.
    """

    quantizer: Quantizer
    setup: SearchSetup
    float_score: float | None
    memory_limit: int

    @property
    def reporter(self) -> Reporter:
        """Where the progress is told."""
        return self.setup.reporter

    @cached_property
    def bounds(self) -> Bounds:
        """The goal."""
        return delivery_bounds(self.quantizer.job.config)

    @cached_property
    def budget(self) -> Budget | None:
        """What the nodes may cost beside time."""
        return budget_of(self.quantizer.job.config.quantization.mix_goal)

    @property
    def goal(self) -> str:
        """The goal in words."""
        return str(self.bounds) if self.budget is None else self.budget.text

    def run(self, state: SearchState) -> SearchState:
        """Return the outcomes of the base and of every set that was tried; the delivered one has variant ``mix``.

        `state`: of the base search. The rules file is written whenever what is delivered changes.
        """
        base = state.best
        if base is None:
            return state
        trials = _Trials(self, state, base)
        try:
            if not state.cut_short:
                self._find(trials, base)
        except _CutShort:
            pass
        state = self._named(trials.state)
        self._publish(state)
        return state

    def _find(self, trials: _Trials, base: Outcome) -> None:
        if self.bounds.by_score and trials.keeps(base):
            self.reporter.line(f"mix: {self.bounds} is reached without a node in 16 bit")
            return
        if not self.bounds.by_score and not trials.within([]):
            taken = f"{base.latency_ms or 0:.3f} ms"
            if self.budget is not None:
                taken = f"{self.budget.total(self.quantizer(base.candidate).plan):g}"
                trials.state.missed = f"no candidate keeps {self.goal}"
            self.reporter.line(f"mix: {self.goal} is not reached: all in 8 bit takes {taken}")
            return
        noise = self._journaled_noise(base.candidate)
        if noise is None and self.setup.watch.late():
            trials.state.cut_short = "time limit before any node was raised to 16 bit"
            return
        ranking = Ranking(self.quantizer, base.candidate, self.reporter)
        noise = self._kept_noise(base.candidate, ranking.noise()) if noise is None else noise
        order, costs = ranking.order(noise, None if self.budget is None else self.budget.by_node)
        if self.bounds.by_score:
            self._reach(trials, order, costs)
            return
        count = largest_prefix(len(order), lambda length: trials.within(order[:length]))
        if count:
            trials.reaches(order[:count])

    def _journaled_noise(self, base: Candidate) -> Mapping[str, float] | None:
        """Return what an earlier invocation measured, or None: where it got so far, its trials are repeated in no time.

        That holds after the time limit too, so that a finished search is not cut short when it is run again.
        """
        key = {"plan_key": self.setup.plan_key, "noise_of": base.to_json()}
        found = (entry for entry in self.setup.journal.entries() if key.items() <= entry.items())
        return next((entry["noise"] for entry in found), None)

    def _kept_noise(self, base: Candidate, noise: Mapping[str, float]) -> Mapping[str, float]:
        if all(math.isfinite(value) for value in noise.values()):
            entry = {"plan_key": self.setup.plan_key, "noise_of": base.to_json(), "noise": noise}
            self.setup.journal.append(entry)
        self.setup.watch.tick()
        return noise

    def _reach(self, trials: _Trials, order: list[str], costs: Costs) -> None:
        """Find the shortest beginning of the order that reaches the score, then leave out what is not needed."""
        count = smallest_prefix(len(order), lambda length: trials.reaches(order[:length]))
        if count is None:
            self.reporter.line(
                f"mix: {self.bounds} is not reached even with all {len(order)} layers in 16 bit: "
                "the best found is delivered"
            )
            return
        members, whole = order[:count], set(order[:count])
        extra = costs.total(whole)
        saved = {name: costs.more(name, whole - {name}) for name in members}
        worth = {name: saving if saving >= WORTH * extra else 0.0 for name, saving in saved.items()}
        without(members[:-1], worth, lambda kept: trials.reaches([*kept, members[-1]], cheaper=True), DROPS)

    def _named(self, state: SearchState) -> SearchState:
        """Return the state in which the delivered set of nodes has the variant ``mix``."""
        delivered = self.choice(state).delivered
        if delivered is None or not delivered.candidate.raised:
            return state
        named = replace(delivered, candidate=replace(delivered.candidate, trial=None))
        return replace(state, outcomes=[named if item == delivered else item for item in state.outcomes])

    def choice(self, state: SearchState) -> Choice:
        """Return what is delivered under the goal."""
        return choose(state.outcomes, self.bounds, self.float_score)

    def _publish(self, state: SearchState) -> None:
        self.setup.on_outcome(state)
        choice = self.choice(state)
        if choice.delivered is not None:
            config = self.quantizer.job.config
            kept = self.bounds.kept_by(choice.delivered, self.float_score) and not state.missed
            goal = f"{self.goal}, {'reached' if kept else 'NOT reached'}"
            text = rules_text(config, goal, choice.delivered, state.outcomes[0], self.float_score)
            write_text(config.path.output_dir / RULES_FILE, text)


class _Trials:
    """The sets of nodes that were tried, each a candidate of one growing search."""

    def __init__(self, auto: AutoMix, state: SearchState, base: Outcome) -> None:
        self._auto, self.state, self._base = auto, state, base
        self._programs = Programs(auto.quantizer, auto.memory_limit, most=1)
        nodes = enumerate(node.name for node in auto.quantizer.job.graph.nodes)
        self._place = {name: place for place, name in nodes}

    def keeps(self, outcome: Outcome) -> bool:
        """Return whether an outcome reaches the goal."""
        return self._auto.bounds.kept_by(outcome, self._auto.float_score)

    def within(self, names: list[str]) -> bool:
        """Return whether these nodes in 16 bit stay within the latency, by the plan's estimate, or the budget."""
        if self._auto.budget is not None:
            candidate = replace(self._base.candidate, raised=self._sorted(names))
            return self._auto.budget.kept_by(self._auto.quantizer(candidate).plan)
        limit = self._auto.bounds.latency_limit
        found = self._latency(names)
        return limit is None or (found is not None and found <= limit)

    def _latency(self, names: list[str]) -> float | None:
        candidate = replace(self._base.candidate, raised=self._sorted(names))
        return self._auto.quantizer(candidate).latency_ms

    def _sorted(self, names: list[str]) -> tuple[str, ...]:
        return tuple(sorted(names, key=lambda name: self._place.get(name, 0)))

    def reaches(self, names: list[str], *, cheaper: bool = False) -> bool:
        """Return whether these nodes in 16 bit reach the goal, scored on all images.

        cheaper: sets that the plan's estimate does not place below all that reach the goal so far do not.
        """
        if cheaper:
            best = self._auto.choice(self.state).delivered
            found = self._latency(names)
            if best is None or best.latency_ms is None or found is None or found >= best.latency_ms:
                return False
        outcome = self._score(names)
        self._tell(outcome)
        return self.keeps(outcome)

    def _score(self, names: list[str]) -> Outcome:
        auto = self._auto
        known = [item.candidate for item in self.state.outcomes]
        trial = sum(1 for item in known if item.raised) + 1
        candidate = replace(self._base.candidate.having(Variant.MIX), raised=self._sorted(names), trial=trial)
        setup = replace(
            auto.setup,
            candidates=(*known, candidate),
            executor=Inline(self._programs.runner, auto.setup.validation, auto.setup.metric),
            strategy="exhaustive",
            on_outcome=lambda state: None if len(state.outcomes) < len(known) else auto._publish(state),  # noqa: SLF001
        )
        self.state = search(setup)
        found = next((item for item in self.state.outcomes if item.candidate == candidate), None)
        if self.state.cut_short or found is None:
            raise _CutShort
        return found

    def _tell(self, outcome: Outcome) -> None:
        raised = len(outcome.candidate.raised)
        score = decimals(outcome.score, 4)
        verdict = "reached" if self.keeps(outcome) else "not reached"
        self._auto.reporter.line(
            f"mix: {raised} layers in 16 bit: score {score}, {outcome.latency_ms or 0:.3f} ms; "
            f"{self._auto.goal} {verdict}"
        )


def auto_mix(
    quantizer: Quantizer, setup: SearchSetup, state: SearchState, float_score: float | None, memory_limit: int
) -> SearchState:
    """Return `state` extended by the sets of nodes that `mix: auto` tried; files of the delivered one are written."""
    return AutoMix(quantizer, setup, float_score, memory_limit).run(state)
