"""What 16 bit is worth in each layer: what 8 bits in it alone cost the outputs, and its cycles, of one candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimai.app.candidates.join_notes import joins_of
from slimai.app.candidates.quantizer import Quantizer
from slimai.data.loader import iter_batches
from slimai.quantizer.insert_requantize import REQUANTIZE
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.planner import build_plan
from slimai.report.alone import AloneRounding, images_for
from slimai.report.analysis import Analyser, batch_for
from slimai.search.candidate import Candidate
from slimai.search.events import Reporter
from slimai.search.knee import Costs, Raisable, raising_order
from slimai.simulator.cost import estimate

if TYPE_CHECKING:
    from slimai.graph.ir import Graph
    from slimai.quantizer.layers import Step
    from slimai.quantizer.plan import QuantPlan
    from slimai.report.analysis import LayerRow
    from slimai.simulator.cost import Estimate

SENSED = 16  # calibration images that the noise of the layers is taken from


@dataclass(frozen=True)
class Ranking:
    """The figures of one base candidate: what each layer alone costs the outputs, cycles in 8 and in 16 bit."""

    quantizer: Quantizer
    candidate: Candidate
    reporter: Reporter

    def noise(self) -> dict[str, float]:
        """Return the noise over signal of the outputs by each layer alone, by node name: the part that needs images."""
        graph, _ = self.quantizer.networks.get(self.quantizer.aids(self.candidate).rewrites)
        return self._noise(graph)

    def order(
        self, noise: Mapping[str, float], price: Callable[[QuantPlan], Mapping[str, float]] | None = None
    ) -> tuple[list[str], Costs]:
        """Return the layers, the one that is most worth 16 bit first, and what sets of them cost.

        price: what each node of a plan costs, by name; default: cycles, with those of conversions.
        """
        graph, _ = self.quantizer.networks.get(self.quantizer.aids(self.candidate).rewrites)
        wide = joins_of(self.quantizer, self.candidate).datatypes
        steps = [step for step in layer_steps(graph) if step.integer and step.name not in wide]
        costs = [(price or self._by_node)(self._plan(steps, bits)) for bits in ((8, 8), (16, 16))]
        layers = [
            Raisable(
                step.name,
                noise.get(step.name, 0.0),
                costs[1].get(step.name, 0.0) - costs[0].get(step.name, 0.0),
                step.inputs,
                step.outputs,
            )
            for step in steps
        ]
        layers = merged(layers, self.quantizer.networks.rewritten(self.quantizer.aids(self.candidate).rewrites).origin)
        conversions = self._conversions(self._plan(steps, (16, 8))) if price is None else {}
        found = Costs.of(layers, conversions, graph.inputs)
        return raising_order(layers, found), found

    def _plan(self, steps: list[Step], bits: tuple[int, int]) -> QuantPlan:
        """Return the plan in which every layer reads and writes these bits."""
        aids = self.quantizer.aids(self.candidate)
        graph, stats = self.quantizer.networks.get(aids.rewrites)
        options = self.quantizer.options(self.candidate, aids)
        every = replace(options, datatypes={step.name: bits for step in steps})
        return build_plan(graph, stats, every, self.quantizer.job.config.target)

    def _estimate(self, plan: QuantPlan) -> Estimate:
        config = self.quantizer.job.config
        return estimate(plan, config.target, config.performance)

    def _by_node(self, plan: QuantPlan) -> dict[str, float]:
        cycles = {cost.name: cost.cycles for cost in self._estimate(plan).layers}
        return {layer.node.name: cycles.get(layer.name, 0.0) for layer in plan.layers}

    def _conversions(self, plan: QuantPlan) -> dict[str, float]:
        """Return the cycles of a conversion by tensor, from a plan that converts every tensor."""
        cycles = {cost.name: cost.cycles for cost in self._estimate(plan).layers}
        found: dict[str, float] = {}
        for layer in plan.layers:
            if layer.kind == REQUANTIZE:
                source = plan.sources.get(layer.inputs[0], layer.inputs[0])
                found[source] = max(found.get(source, 0.0), cycles[layer.name])
        return found

    def _noise(self, graph: Graph) -> dict[str, float]:
        """Return what 8 bits in each layer cost the outputs, by node name."""
        job, item = self.quantizer.job, self.quantizer(self.candidate)
        analyser = Analyser(graph, item.program)
        samples = job.calibration[:SENSED]
        with self.reporter.stage("sense layers", len(samples)) as stage:
            for taken, feeds in iter_batches(samples, job.preprocess, batch_for(graph)):
                analyser.add(feeds)
                stage.advance(len(taken))
        analyser.finish()
        item.release()
        nodes = {layer.name: layer.node.name for layer in item.plan.layers}
        return output_noise(analyser.rows(), self._alone(graph, item.plan), nodes, layer_steps(graph))

    def _alone(self, graph: Graph, plan: QuantPlan) -> dict[str, float]:
        """Return the noise of the outputs by the tensor that alone is rounded."""
        job, rounding = self.quantizer.job, AloneRounding(graph, plan)
        samples = job.calibration[: images_for(graph, plan)]
        batches = -(-len(samples) // batch_for(graph))
        with self.reporter.stage("round tensors alone", batches * len(rounding.grids)) as stage:
            for _, feeds in iter_batches(samples, job.preprocess, batch_for(graph)):
                rounding.add(feeds, stage.advance)
        return rounding.ratios()


def merged(layers: Sequence[Raisable], origin: Mapping[str, str]) -> list[Raisable]:
    """Return the layers with the parts of each node of `origin` (part -> node) as one, named after it.

    They are raised together; the part with the most noise speaks for them.
    """
    groups: dict[str, list[Raisable]] = {}
    for layer in layers:
        groups.setdefault(origin.get(layer.name, layer.name), []).append(layer)
    return [
        Raisable(
            name,
            max(layer.noise for layer in group),
            math.fsum(layer.cycles for layer in group),
            tuple(dict.fromkeys(tensor for layer in group for tensor in layer.reads)),
            tuple(dict.fromkeys(tensor for layer in group for tensor in layer.writes)),
        )
        for name, group in groups.items()
    ]


def output_noise(
    rows: Sequence[LayerRow], alone: Mapping[str, float], nodes: Mapping[str, str], steps: Sequence[Step]
) -> dict[str, float]:
    """Return what 8 bits in each layer cost the outputs, as noise over signal, by node name.

    rows: of the layers, each fed with float values. alone: noise of the outputs by the tensor that alone is rounded.
    nodes: layer name -> node name. A layer counts as the costliest tensor that it reads or writes, because a tensor
    has 16 bits only where its writer and its readers have; its weights count as far as its own noise exceeds that of
    its output's grid, carried to the outputs as that grid's noise is.
    """
    found: dict[str, float] = {}
    for step in steps:
        touched = (alone.get(tensor, 0.0) for tensor in (*step.inputs, *step.outputs))
        found[step.name] = max(touched, default=0.0)
    for row in rows:
        if row.single_sqnr is None or row.own <= 0.0 or row.tensor not in alone:
            continue
        name, single = nodes[row.layer], 10.0 ** (-row.single_sqnr / 10.0)
        found[name] = max(found.get(name, 0.0), alone[row.tensor] * single / row.own)
    return found
