"""Whether the network's own outputs gain by rounded weights: each layer may, and the last one lose all the same.

Layers were fitted behind each other, so what is taken back is taken from the end: the layers up to some place are
rounded, as they were fitted, the others nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.samples import own_shapes
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.rounding.result import RoundedLayer, Rounding
from slimai.runtime.session import FloatSession
from slimai.simulator.buffers import BufferPool
from slimai.simulator.program import Target, compile_plan
from slimai.simulator.rounding_pass import Images, with_rounding

SHARES = (4, 3, 2, 1)  # quarters of the layers, from the first on, that are tried
NO_GAIN = "the network's outputs do not gain"
_TINY = 1e-30


def guarded(
    graph: Graph, plan: QuantPlan, found: Rounding, target: Target, images: Images, *, arithmetic: str
) -> Rounding:
    """Return the rounding of as many layers as the outputs gain most by, on the calibration images; maybe of none.

    The gain is the smaller one of two, in dB: of all images together, and the mean of each image's own. plan: the
    reference setting that `found` was made from.
    """
    names = list(found.layers)
    counts = sorted({len(names) * share // 4 for share in SHARES} - {0})
    if not counts:
        return found
    plans = [_rounded(plan, {name: found.layers[name] for name in names[:count]}) for count in (0, *counts)]
    ratios = _ratios(graph, plans, target, images, arithmetic)
    gains = (ratios - ratios[0]).min(axis=1)
    best = [0, *counts][int(np.argmax(gains))]
    dropped = set(names[best:])
    reports = (replace(item, why=NO_GAIN) if item.node in dropped else item for item in found.reports)
    return Rounding({name: found.layers[name] for name in names[:best]}, tuple(reports))


def _rounded(plan: QuantPlan, rounded: Mapping[str, RoundedLayer]) -> QuantPlan:
    """Return the plan with the rounded layers in their places."""
    layers = (
        with_rounding(layer, rounded[layer.node.name], plan.tensors[layer.inputs[0]].scale)
        if layer.node.name in rounded
        else layer
        for layer in plan.layers
    )
    return replace(plan, layers=tuple(layers))


def _ratios(
    graph: Graph, plans: Sequence[QuantPlan], target: Target, images: Images, arithmetic: str
) -> NDArray[np.float64]:
    """Return [plans, 2] the outputs' signal-to-noise ratio in dB: over all images, and the mean of the images'.

    One pass over the images, which holds a batch of them.
    """
    pool, session = BufferPool(), FloatSession(graph, reuse=True)
    programs = [compile_plan(plan, target, arithmetic=arithmetic, pool=pool) for plan in plans]
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for given in images.batches():
        feeds = own_shapes(graph, given)
        real = session.run(feeds)
        made = [program.dequantize(program.run(feeds)) for program in programs]
        for name, wanted in real.items():
            rows = wanted.astype(np.float64).reshape(len(wanted) if graph.batchable else 1, -1)
            errors = [item[name].astype(np.float64).reshape(rows.shape) - rows for item in made]
            sums.setdefault(name, []).append(
                np.stack([np.square(part).sum(axis=1) for part in (rows, *errors)]) + _TINY
            )
    powers = [np.concatenate(parts, axis=1) for parts in sums.values()]  # [1 + plans, images] an output
    together = np.mean([10 * np.log10(item[0].sum() / item[1:].sum(axis=1)) for item in powers], axis=0)
    apart = np.mean([10 * np.log10(item[0] / item[1:]).mean(axis=1) for item in powers], axis=0)
    return np.stack([together, apart], axis=1)
