"""Is it the weights or the activations? The float network with only the one or only the other rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.graph.samples import run_samples
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.weight_layout import weight_layout
from slimai.report.similarity import Likeness, compare_image
from slimai.runtime.session import FloatSession

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Probe:
    """Mean over the network's outputs: cosine and SQNR (dB) against float."""

    name: str
    cosine: float
    sqnr: float


def probes(graph: Graph, plan: QuantPlan, feeds: Arrays, truth: Arrays, *, threads: int = 1) -> tuple[Probe, Probe]:
    """Return what rounding the weights alone, and the activations alone, does to the outputs.

    feeds: network inputs [N, ...]; truth: float outputs. Both networks run in float with rounded values in them.
    """
    # one session at a time: each holds a batch of all activations
    session = FloatSession(with_rounded_weights(graph, plan), threads=threads)
    weights = _probe("weights only", run_samples(graph, session.run, feeds), truth)
    del session
    bare = replace(plan, layers=tuple(replace(layer, weight=None, bias=None) for layer in plan.layers))
    session = FloatSession(to_qdq(bare).SerializeToString(), threads=threads, optimize=False)
    return weights, _probe("activations only", run_samples(graph, session.run, feeds), truth)


def with_rounded_weights(graph: Graph, plan: QuantPlan) -> Graph:
    """Return the float network with the real values of the integer weights in place of the float ones."""
    rounded = {}
    for layer in plan.layers:
        name = _weight_name(graph, layer)
        if name is not None and layer.weight is not None:
            shape = layer.weight.values.shape
            spread = weight_layout(layer.node, shape).spread(layer.weight.scale, shape)
            real = (layer.weight.values.astype(np.float64) - layer.weight.zero_point) * spread
            rounded[name] = real.astype(np.float32)
    return replace(graph, constants={**graph.constants, **rounded})


def _weight_name(graph: Graph, layer: Layer) -> str | None:
    """Return the float constant that the weight of a matrix layer was made from."""
    traits = TRAITS.get(layer.node.op)
    if layer.weight is None or traits is None or traits.weight is None or traits.family != "matrix":
        return None
    name = layer.node.inputs[traits.weight]
    constant = graph.constants.get(name)
    return name if constant is not None and constant.shape == layer.weight.values.shape else None


def _probe(name: str, found: Arrays, truth: Arrays) -> Probe:
    cosines, ratios = [], []
    for output, values in truth.items():
        likeness = Likeness()
        for image, answer in zip(values, found[output], strict=True):
            likeness.add(compare_image(image, answer, None))
        cosines.append(likeness.cosine)
        ratios.append(likeness.sqnr)
    return Probe(name, float(np.mean(cosines)), float(np.mean(ratios)))
