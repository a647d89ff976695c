"""Empirical bias correction: the integer network's own channel means, pulled to those of the float network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.schema.target import TargetSection

if TYPE_CHECKING:
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.plan import QuantPlan

Batches = Sequence[Mapping[str, NDArray[Any]]]


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

    batches: calibration images (at most as many as fit in memory), run in float once and in integers once a layer:
    both means are over the same images. They are those behind a folded clamp, which errs to the side of too little.
    """
    from slimai.calibration.collect import collect
    from slimai.quantizer.bias_correction import empirical_offsets
    from slimai.quantizer.planner import build_plan

    plan = build_plan(graph, stats, options, target)
    layers = correctable(plan)
    same = collect(graph, batches, tensors=[tensor for _, tensor in layers], bins=2048, per_channel=True)
    found = {tensor: same[tensor].channels for _, tensor in layers}
    truth = {tensor: channels.means for tensor, channels in found.items() if channels is not None}
    layers = [(node, tensor) for node, tensor in layers if tensor in truth]

    def measure(offsets: Mapping[str, NDArray[np.float64]], tensors: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        trial = build_plan(graph, stats, replace(options, bias_offsets=offsets), target)
        return integer_means(trial, target, batches, tensors, threads=threads)

    offsets = empirical_offsets(layers, truth, measure, start=options.bias_offsets)
    return replace(options, bias_offsets=offsets)


def correctable(plan: QuantPlan) -> list[tuple[str, str]]:
    """Return (node name, output tensor) of the layers whose biases can be corrected."""
    return [
        (layer.node.name, layer.outputs[0])
        for layer in plan.layers
        if layer.mode == "integer" and layer.node.op in ("Conv", "ConvTranspose", "Gemm")
    ]


def integer_means(
    plan: QuantPlan,
    target: TargetSection,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    tensors: Sequence[str],
    *,
    threads: int,
) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each channel (axis 1) of `tensors` over all images, as the target computes them."""
    from slimai.simulator.program import compile_plan

    program = compile_plan(plan, target, arithmetic=target.arithmetic, threads=threads)
    sums: dict[str, NDArray[np.float64]] = {}
    images = 0
    for feeds in batches:
        values = program.run(feeds, capture=tensors)
        images += len(next(iter(feeds.values())))
        for name in tensors:
            array, params = values[name], plan.tensors[name]
            axes = tuple(axis for axis in range(array.ndim) if axis > 1)
            real = (array.astype(np.float64).mean(axis=axes) - params.zero_point) * params.scale
            sums[name] = sums.get(name, np.zeros(real.shape[1])) + real.sum(axis=0)
    return {name: total / images for name, total in sums.items()}
