"""What 16 bit is worth in each layer: the noise it makes alone, and its cycles, by figures of one candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.app.candidates.quantizer import Quantizer
from slimai.data.loader import iter_batches
from slimai.quantizer.insert_requantize import REQUANTIZE
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.planner import build_plan
from slimai.report.analysis import Analyser, batch_for
from slimai.search.candidate import Candidate
from slimai.search.events import Reporter
from slimai.search.knee import Costs, Raisable, raising_order
from slimai.simulator.cost import estimate

if TYPE_CHECKING:
    from slimai.graph.ir import Graph
    from slimai.quantizer.layers import Step
    from slimai.quantizer.params import QParams
    from slimai.quantizer.plan import QuantPlan
    from slimai.report.analysis import LayerRow
    from slimai.simulator.cost import Estimate

SENSED = 16  # calibration images that the noise of the layers is taken from
MOST_SLICES = 1024  # along an axis; longer axes hold places or anchors, not kinds of values


Sums = NDArray[np.float64]  # [2, slices]: noise, signal


@dataclass(frozen=True)
class Ranking:
    """The local figures of one base candidate: noise of each layer alone, cycles in 8 and in 16 bit."""

    quantizer: Quantizer
    candidate: Candidate
    reporter: Reporter

    def noise(self) -> dict[str, float]:
        """Return the noise over signal of each layer alone, by node name: the part that needs images."""
        graph, _ = self.quantizer.networks.get(self.quantizer.aids(self.candidate).rewrites)
        return self._noise(graph)

    def order(self, noise: Mapping[str, float]) -> tuple[list[str], Costs]:
        """Return the layers, the one that is most worth 16 bit first, and what sets of them cost."""
        graph, _ = self.quantizer.networks.get(self.quantizer.aids(self.candidate).rewrites)
        steps = [step for step in layer_steps(graph) if step.integer]
        narrow, wide = (self._plan(steps, bits) for bits in ((8, 8), (16, 16)))
        costs = [self._by_node(plan) for plan in (narrow, wide)]
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
        found = Costs.of(layers, self._conversions(self._plan(steps, (16, 8))), graph.inputs)
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
        """Return the noise of each layer alone, or of the worst slices that it touches, over signal, by node name."""
        job, item = self.quantizer.job, self.quantizer(self.candidate)
        analyser = Analyser(graph, item.program)
        samples, sliced = job.calibration[:SENSED], SliceNoise(item.plan.tensors)
        with self.reporter.stage("sense layers", len(samples)) as stage:
            for taken, feeds in iter_batches(samples, job.preprocess, batch_for(graph)):
                analyser.add(feeds, seen=sliced.add)
                stage.advance(len(taken))
        item.release()
        alone = noise_by_node(analyser.rows(), {layer.name: layer.node.name for layer in item.plan.layers})
        lost = sliced.ratios()
        touched = {step.name: (*step.inputs, *step.outputs) for step in layer_steps(graph)}
        return {
            name: max(alone.get(name, 0.0), *(lost.get(tensor, 0.0) for tensor in tensors))
            for name, tensors in touched.items()
        }


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


class SliceNoise:
    """What a tensor's grid does to its slices, such as the channels, each by its own signal.

    A whole tensor's ratio is that of its large values: where boxes and scores lie in one tensor it says nothing of
    the scores. Here every slice along an axis counts alike, as its noise over signal or 1, where it is lost; of the
    axes the worst counts.
    """

    def __init__(self, grids: Mapping[str, QParams]) -> None:
        self._grids = grids
        self._sums: dict[str, dict[int, Sums]] = {}

    def add(self, truth: Mapping[str, NDArray[Any]]) -> None:
        """Take in float values [N, ...] by tensor; those without a grid are left out."""
        for name in truth.keys() & self._grids.keys():
            params, real = self._grids[name], truth[name].astype(np.float64)
            noise = np.square(params.dequantize(params.quantize(real)) - real)
            signal = np.square(real)
            sums = self._sums.setdefault(name, {})
            for axis in range(1, real.ndim):
                if 1 < real.shape[axis] <= MOST_SLICES:
                    others = tuple(other for other in range(real.ndim) if other != axis)
                    found = np.stack([noise.sum(axis=others), signal.sum(axis=others)])
                    sums[axis] = sums[axis] + found if axis in sums else found

    def ratios(self) -> dict[str, float]:
        """Return the mean over slices of noise over signal, by tensor."""
        return {
            name: max((_mean_ratio(found) for found in sums.values()), default=0.0) for name, sums in self._sums.items()
        }


def _mean_ratio(sums: Sums) -> float:
    """Return the mean of noise over signal, at most 1 each; slices without a signal tell nothing."""
    noise, signal = sums
    alive = signal > 0
    return float(np.minimum(noise[alive] / signal[alive], 1.0).mean()) if alive.any() else 0.0


def noise_by_node(rows: tuple[LayerRow, ...], nodes: Mapping[str, str]) -> dict[str, float]:
    """Return the largest noise over signal that each node's layer has alone; `nodes`: layer name -> node name."""
    found: dict[str, float] = {}
    for row in rows:
        if row.single_sqnr is not None:
            name = nodes[row.layer]
            found[name] = max(found.get(name, 0.0), 10.0 ** (-row.single_sqnr / 10.0))
    return found
