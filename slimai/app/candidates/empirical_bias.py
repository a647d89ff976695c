"""Empirical bias correction: biases from the means of the running integer network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.calibration.collect import activations_runner, collect
from slimai.graph.ir import Graph
from slimai.graph.ops import channel_axis, has_bias_slot
from slimai.quantizer.bias_correction import channel_means, shifted
from slimai.quantizer.levels import limits_of
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.layerwise import revise_layers

if TYPE_CHECKING:
    from slimai.calibration.collect import FloatRunner
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.plan import Layer, QuantPlan

Array = NDArray[Any]
Batches = Sequence[Mapping[str, Array]]


def corrected_options(
    graph: Graph,
    stats: Statistics,
    options: QuantOptions,
    target: TargetSection,
    batches: Batches,
) -> QuantOptions:
    """Return `options` with the bias offsets that bring the means of every layer's output back to float's.

    batches: calibration images (as many as their activations fit in memory), run in float once and in integers
    twice. The means are those behind a folded clamp, which errs to the side of too little, and of float values cut to
    what the layer's grid reaches: what its limits leave out on purpose is no error of the weights.
    """
    plan = build_plan(graph, stats, options, target)
    truth = _float_means(graph, plan, batches)
    offsets = dict(options.bias_offsets)

    def revise(layer: Layer, outputs: list[Array]) -> Layer | None:
        name = layer.outputs[0]
        if name not in truth or not has_bias_slot(layer.node):
            return None
        error = truth[name] - channel_means(outputs, plan.tensors[name], _output_axis(plan, layer))
        offsets[layer.node.name] = offsets.get(layer.node.name, np.zeros_like(error)) + error
        return shifted(layer, error, plan.tensors[layer.inputs[0]])

    revise_layers(plan, target, batches, revise, arithmetic=target.arithmetic)
    return replace(options, bias_offsets=offsets)


def _float_means(graph: Graph, plan: QuantPlan, batches: Batches) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each channel of the outputs whose layers have a bias to correct, by tensor, in reach of it."""
    layers = [layer for layer in plan.layers if layer.mode == "integer" and has_bias_slot(layer.node)]
    sources = {layer.outputs[0]: plan.sources.get(layer.outputs[0], layer.outputs[0]) for layer in layers}
    axes = {sources[layer.outputs[0]]: _output_axis(plan, layer) for layer in layers}
    reach = {source: limits_of(plan.tensors[name]) for name, source in sources.items()}
    runner = _Cut(activations_runner(graph, sorted(reach)), reach)
    found = collect(graph, batches, tensors=sorted(reach), bins=2048, per_channel=axes, runner=runner)
    channels = {name: found[source].channels for name, source in sources.items()}
    return {name: item.means for name, item in channels.items() if item is not None}


def _output_axis(plan: QuantPlan, layer: Layer) -> int:
    return channel_axis(layer.node, len(plan.graph.shape(layer.outputs[0])))


@dataclass(frozen=True)
class _Cut:
    """A float network whose tensors are cut to limits."""

    network: FloatRunner
    limits: Mapping[str, tuple[float, float]]

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the tensors by name."""
        found = self.network.run(feeds)
        return {
            name: np.clip(value, *self.limits[name]) if name in self.limits else value for name, value in found.items()
        }
