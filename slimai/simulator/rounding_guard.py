"""Whether the network's own outputs gain by rounded weights: each layer may, and the last one lose all the same.

Layers were fitted behind each other, so what is taken back is taken from the end: the layers up to some place are
rounded, as they were fitted, the others nearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from slimai.graph.ir import Graph
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.rounding.result import RoundedLayer, Rounding
from slimai.simulator.output_ratios import output_ratios
from slimai.simulator.program import Target
from slimai.simulator.rounding_pass import Images, with_rounding

SHARES = (4, 3, 2, 1)  # quarters of the layers, from the first on, that are tried
LEAST_GAIN = 0.3  # dB on the calibration images, which the fit has seen: less than that may be a loss on others
NO_GAIN = "the network's outputs do not gain"


def guarded(
    graph: Graph, plan: QuantPlan, found: Rounding, target: Target, images: Images, *, arithmetic: str
) -> Rounding:
    """Return the rounding of as many layers as the outputs gain most by, on the calibration images; maybe of none.

    The gain is the smaller one of two, in dB: of all images together, and the mean of each image's own. One below
    LEAST_GAIN is none. plan: the reference setting that `found` was made from.
    """
    names = list(found.layers)
    counts = sorted({len(names) * share // 4 for share in SHARES} - {0})
    if not counts:
        return found
    plans = [_rounded(plan, {name: found.layers[name] for name in names[:count]}) for count in (0, *counts)]
    ratios = output_ratios(graph, plans, target, images, arithmetic)
    gains = (ratios - ratios[0]).min(axis=1)
    place = int(np.argmax(gains))
    best = [0, *counts][place] if gains[place] >= LEAST_GAIN else 0
    dropped = set(names[best:])
    reports = (replace(item, why=NO_GAIN) if item.node in dropped else item for item in found.reports)
    return Rounding({name: found.layers[name] for name in names[:best]}, tuple(reports))


def _rounded(plan: QuantPlan, rounded: Mapping[str, RoundedLayer]) -> QuantPlan:
    """Return the plan with the rounded layers in their places."""
    layers = (
        with_rounding(layer, rounded[layer.node.name], plan.tensors[layer.inputs[0]])
        if layer.node.name in rounded
        else layer
        for layer in plan.layers
    )
    return replace(plan, layers=tuple(layers))
