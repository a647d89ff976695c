"""Empirical bias correction of the winner: its own integer layers' channel means, pulled to those of the float network.

Search runs with the analytic correction alone (SPEC 8.4). The corrected network is scored like any candidate, under
the winner's name with `_empirical`, and takes the winner's place unless it is worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.app.programs import Programs
from slimai.app.quantize import EMPIRICAL, Quantizer
from slimai.graph.ir import Graph
from slimai.schema.target import TargetSection
from slimai.search.candidate import Candidate, Outcome
from slimai.search.loop import SearchSetup, SearchState, search
from slimai.search.units import Inline

if TYPE_CHECKING:
    from slimai.calibration.collect import FloatRunner
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.plan import Layer, QuantPlan

Array = NDArray[Any]
Batches = Sequence[Mapping[str, Array]]
CORRECTABLE = ("Conv", "ConvTranspose", "Gemm")


def corrected_options(
    graph: Graph,
    stats: Statistics,
    options: QuantOptions,
    target: TargetSection,
    batches: Batches,
    *,
    threads: int = 1,
) -> QuantOptions:
    """Return `options` with the bias offsets that bring the means of every layer's output back to float's.

    batches: calibration images (as many as their activations fit in memory), run in float once and in integers
    twice. The means are those behind a folded clamp, which errs to the side of too little, and of float values cut to
    what the layer's grid reaches: what its limits leave out on purpose is no error of the weights.
    """
    from slimai.quantizer.bias_correction import channel_means, shifted
    from slimai.quantizer.planner import build_plan
    from slimai.simulator.layerwise import revise_layers

    plan = build_plan(graph, stats, options, target)
    truth = _float_means(graph, plan, batches)
    offsets = dict(options.bias_offsets)

    def revise(layer: Layer, outputs: list[Array]) -> Layer | None:
        name = layer.outputs[0]
        if name not in truth:
            return None
        error = truth[name] - channel_means(outputs, plan.tensors[name])
        offsets[layer.node.name] = offsets.get(layer.node.name, np.zeros_like(error)) + error
        return shifted(layer, error, plan.tensors[layer.inputs[0]])

    revise_layers(plan, target, batches, revise, arithmetic=target.arithmetic, threads=threads)
    return replace(options, bias_offsets=offsets)


def _float_means(graph: Graph, plan: QuantPlan, batches: Batches) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each channel of the outputs whose layers have a bias to correct, by tensor, in reach of it."""
    from slimai.calibration.collect import activations_runner, collect
    from slimai.quantizer.levels import limits_of

    tensors = [layer.outputs[0] for layer in plan.layers if layer.mode == "integer" and layer.node.op in CORRECTABLE]
    sources = {name: plan.sources.get(name, name) for name in tensors}
    reach = {source: limits_of(plan.tensors[name]) for name, source in sources.items()}
    runner = _Cut(activations_runner(graph, sorted(reach)), reach)
    found = collect(graph, batches, tensors=sorted(reach), bins=2048, per_channel=True, runner=runner)
    channels = {name: found[source].channels for name, source in sources.items()}
    return {name: item.means for name, item in channels.items() if item is not None}


@dataclass(frozen=True)
class _Cut:
    """A float network whose tensors are cut to limits."""

    network: FloatRunner
    limits: Mapping[str, tuple[float, float]]

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the tensors by name."""
        return {name: np.clip(values, *self.limits[name]) for name, values in self.network.run(feeds).items()}


def correct_winner(
    quantizer: Quantizer, setup: SearchSetup, state: SearchState, winner: Outcome | None, memory_limit: int
) -> SearchState:
    """Return `state` with the empirically corrected winner beside the winner, where the configuration asks for it.

    winner: what the search would deliver. The corrected network stands before it, and so wins a tie.
    """
    if winner is None or not quantizer.aids(winner.candidate).empirical:
        return state
    if state.cut_short:
        setup.reporter.line(f"empirical bias correction: left out ({state.cut_short})")
        return state
    corrected = corrected_candidate(winner.candidate)
    programs = Programs(quantizer, memory_limit, most=1)
    found = search(
        replace(
            setup,
            candidates=(winner.candidate, corrected),
            executor=Inline(programs.runner, setup.validation, setup.metric),
            strategy="exhaustive",
            on_outcome=lambda _: None,
        )
    )
    outcome = next((item for item in found.outcomes if item.candidate == corrected), None)
    setup.reporter.line(f"empirical bias correction: {_verdict(winner, outcome, found.cut_short)}")
    if outcome is None:
        return SearchState(state.outcomes, found.cut_short)
    place = state.outcomes.index(winner)
    merged = SearchState([*state.outcomes[:place], outcome, *state.outcomes[place:]], found.cut_short)
    setup.on_outcome(merged)
    return merged


def corrected_candidate(candidate: Candidate) -> Candidate:
    """Return the candidate with empirically corrected biases."""
    return replace(candidate, variant="_".join(filter(None, (candidate.variant, EMPIRICAL))))


def correction_facts(outcomes: Sequence[Outcome], network: str, delivered: Outcome | None) -> dict[str, Any] | None:
    """Return what run.json tells of the empirical correction, or None when there was none."""
    corrected = next((item for item in outcomes if EMPIRICAL in item.candidate.variant), None)
    if corrected is None:
        return None
    before = next(item for item in outcomes if corrected_candidate(item.candidate) == corrected.candidate)
    return {
        "profile": f"{corrected.candidate.profile(network)}.yaml",
        "accuracy_level": corrected.candidate.level,
        "score_before": before.score,
        "score": corrected.score,
        "delivered": delivered is not None and delivered.candidate == corrected.candidate,
    }


def _verdict(winner: Outcome, corrected: Outcome | None, cut_short: str) -> str:
    if corrected is None or corrected.status != "full" or corrected.score is None or winner.score is None:
        return f"not scored on all images ({cut_short or 'no score'}): the winner stays as it is"
    kept = "taken" if corrected.score >= winner.score else "worse: the winner stays as it is"
    return f"score {winner.score:.4f} -> {corrected.score:.4f}, {kept}"
