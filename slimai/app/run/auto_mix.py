"""`mix: auto`: the cheapest set of nodes in 16 bit that reaches the user's goal, and the rules file that says so.

What hurts the outputs when it alone has 8 bits puts the layers in groups, and what 16 bit costs these in order. The
user's metric says how many of them are enough, and which of those can go again: sets are judged by as few images as
tell it, and what is delivered is scored on all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from slimai.app.candidates.quantizer import Quantizer
from slimai.app.delivery.bounds import delivery_bounds
from slimai.app.run.mix_budget import budget_of
from slimai.app.run.mix_file import RULES_FILE, rules_text
from slimai.app.run.mix_ranking import Ranking
from slimai.app.run.mix_trials import CutShort, Goal, Trials
from slimai.artifacts.atomic import write_text
from slimai.search.candidate import Candidate, Outcome
from slimai.search.choice import Choice, choose
from slimai.search.events import Reporter
from slimai.search.knapsack import fill, most_worth
from slimai.search.knee import Costs, Group, fewest, loudest_groups, order_of_groups, without
from slimai.search.loop import SearchSetup, SearchState

TRIES = 8  # questions of which groups can go again
LOUD = 1e9  # noise over signal from which on a layer counts alike


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
    def goal(self) -> Goal:
        """What has to be reached, or what the nodes may cost."""
        config = self.quantizer.job.config
        return Goal(delivery_bounds(config), budget_of(config.quantization.mix_goal), self.float_score)

    def run(self, state: SearchState) -> SearchState:
        """Return the outcomes of the base and of every set that was scored; the delivered one has variant ``mix``.

        `state`: of the base search. The rules file is written whenever what is delivered changes.
        """
        base = state.best
        if base is None:
            return state
        trials = Trials(self.quantizer, self.setup, self.goal, self.memory_limit, state, base, self._publish)
        try:
            if not state.cut_short:
                self._find(trials, base)
        except CutShort:
            pass
        state = self._named(trials.state)
        self._publish(state)
        return state

    def _find(self, trials: Trials, base: Outcome) -> None:
        goal = self.goal
        if goal.bounds.by_score and goal.kept_by(base):
            self.reporter.line(f"mix: {goal} is reached without a node in 16 bit")
            return
        if not goal.bounds.by_score and not trials.within([]):
            taken = f"{base.latency_ms or 0:.3f} ms"
            if goal.budget is not None:
                found = goal.budget.total(self.quantizer(base.candidate))
                taken = "memory of the host's layers, which is not planned" if found is None else f"{found:.12g}"
                trials.state.missed = f"no candidate keeps {goal}"
            self.reporter.line(f"mix: {goal} is not reached: all in 8 bit takes {taken}")
            return
        noise = self._journaled_noise(base.candidate)
        if noise is None and self.setup.watch.late():
            trials.state.cut_short = "time limit before any node was raised to 16 bit"
            return
        ranking = Ranking(self.quantizer, base.candidate, self.reporter)
        noise = self._kept_noise(base.candidate, ranking.noise()) if noise is None else noise
        order, costs = ranking.order(noise, None if goal.budget is None else goal.budget.by_node)
        if goal.bounds.by_score:
            self._reach(trials, costs)
            self.reporter.line(f"mix: {trials.images} images were run for it")
            return
        members = self._within(trials, order, costs, base)
        if members:
            trials.reaches(members)

    def _within(self, trials: Trials, order: list[str], costs: Costs, base: Outcome) -> list[str]:
        """Return the layers that take away most noise within the budget: exactly where its costs add up."""
        budget = self.goal.budget
        if budget is not None and budget.additive:
            layers = [costs.layers[name] for name in order]
            noise, extra = [min(layer.noise, LOUD) for layer in layers], [layer.cycles for layer in layers]
            members = [order[at] for at in most_worth(noise, extra, budget.room(self.quantizer(base.candidate)))]
            if trials.within(members):
                return members
        return fill(order, trials.within)

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

    def _reach(self, trials: Trials, costs: Costs) -> None:
        """Find the fewest groups, in order of worth, that reach the score, and leave out what is not needed."""
        loudest = loudest_groups({layer.name: layer.noise for layer in costs.layers.values()})
        groups = order_of_groups(loudest, costs)
        found = fewest(len(groups), lambda length: trials.promises(_names(groups[:length])))
        count = len(groups) if found is None else found
        kept = groups
        if found is not None:  # the last one is needed; of the others the quietest go first
            quietest = [group for group in reversed(loudest) if group in groups[: count - 1]]
            kept = without(groups[:count], quietest, lambda left: trials.promises(_names(left)), TRIES)
        step = 1
        while not trials.reaches(costs.filled(_names(kept))):  # by all images it is not
            if len(kept) == len(groups):
                self.reporter.line(
                    f"mix: {self.goal} is not reached even with all {len(costs.layers)} layers in 16 bit: "
                    "the best found is delivered"
                )
                return
            if kept == groups[:count]:
                count, step = min(len(groups), count + step), 2 * step
            kept = groups[:count]

    def _named(self, state: SearchState) -> SearchState:
        """Return the state in which the delivered set of nodes has the variant ``mix``."""
        delivered = self.choice(state).delivered
        if delivered is None or not delivered.candidate.raised:
            return state
        named = replace(delivered, candidate=replace(delivered.candidate, trial=None))
        return replace(state, outcomes=[named if item == delivered else item for item in state.outcomes])

    def choice(self, state: SearchState) -> Choice:
        """Return what is delivered under the goal."""
        return choose(state.outcomes, self.goal.bounds, self.float_score)

    def _publish(self, state: SearchState) -> None:
        self.setup.on_outcome(state)
        choice = self.choice(state)
        if choice.delivered is not None:
            config = self.quantizer.job.config
            kept = self.goal.kept_by(choice.delivered) and not state.missed
            goal = f"{self.goal}, {'reached' if kept else 'NOT reached'}"
            text = rules_text(config, goal, choice.delivered, state.outcomes[0], self.float_score)
            write_text(config.path.output_dir / RULES_FILE, text)


def _names(groups: Sequence[Group]) -> list[str]:
    return [name for group in groups for name in group]


def auto_mix(
    quantizer: Quantizer, setup: SearchSetup, state: SearchState, float_score: float | None, memory_limit: int
) -> SearchState:
    """Return `state` extended by the sets of nodes that `mix: auto` tried; files of the delivered one are written."""
    return AutoMix(quantizer, setup, float_score, memory_limit).run(state)
