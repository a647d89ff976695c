"""Residual sums in front of a normalization that 8 bits cannot hold, and what they are made of: they run in 16.

A few channels of a few rows of a transformer's residual stream are a hundred times as large as all others (Bondarenko
et al. 2021, Understanding and Overcoming the Challenges of Efficient Transformer Quantization, section 3). One scale
for all of them leaves the others a handful of integers, and the normalization behind it brings that noise to size. No
factor a channel can be moved through the normalization, so the width is what helps. A tensor counts as lost where the
ratio of signal to rounding noise of its whole calibrated range at 8 bits, 12 (255 rms / range)^2, is below `LEAST_DB`.

From the input of every normalization the walk goes back over sums, and what moves elements, as long as tensors are
lost: sums, the linear layers that write them, and normalizations that are added again. A linear layer that writes a
lost tensor and reads another one (the outlier in a GELU that makes the outlier in the sum) reads it in 16 bits, with
weights of 8.
The extremes of the calibration images decide, whatever range or method a candidate has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slimai.calibration.statistics import Statistics, TensorStatistics
from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import Scheme
from slimai.quantizer.plan import Decision

LEAST_DB = 33.0
_STEPS = 255.0
_FOLLOWED = ("normalization", "arithmetic", "move")


@dataclass(frozen=True)
class WideSums:
    """datatypes: node name -> (bits read, bits written) of layers around lost tensors. decisions: one a tensor."""

    datatypes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


def wide_sums(graph: Graph, stats: Statistics, scheme: Scheme, steps: Sequence[Step]) -> WideSums:
    """Return what of the layers `steps` runs wider than the level's own bits; nothing where it has no wider types."""
    wide = scheme.raised_bits
    if wide is None:
        return WideSums()
    walk = _Walk(graph, stats, steps)
    for step in steps:
        if step.integer and TRAITS[step.node.op].family == "normalization":
            walk.back(step.inputs[0])
    own, lost = scheme.bits, walk.lost
    datatypes = {}
    for step in steps:
        if not step.integer:
            continue
        reads = any(name in lost for name in step.inputs) and (_followed(step) or step.name in walk.wide_readers)
        writes = any(name in lost for name in step.outputs)
        if reads or writes:
            datatypes[step.name] = (wide if reads else own, wide if writes else own)
    why = "its range at 8 bits leaves a signal of {:.1f} dB over rounding; a normalization reads the sum"
    decisions = tuple(Decision(name, f"runs in {wide} bits", why.format(value)) for name, value in lost.items())
    return WideSums(datatypes, decisions)


def decibels_at_8_bits(stats: TensorStatistics) -> float:
    """Return 10 log10(12 (255 rms / range)^2) over the whole calibrated range, zero included; infinite for zeros."""
    histogram = stats.histogram
    span = max(histogram.maximum, 0.0) - min(histogram.minimum, 0.0)
    edges = histogram.edges()
    middles = (edges[1:] + edges[:-1]) / 2
    square = float((histogram.counts * middles**2).sum() / max(histogram.total, 1))
    if span <= 0 or square <= 0:
        return float(np.inf)
    return float(10 * np.log10(12 * _STEPS**2 * square / span**2))


def _followed(step: Step) -> bool:
    return TRAITS[step.node.op].family in _FOLLOWED


class _Walk:
    """Collects lost tensors -> their dB, and the linear layers that read one."""

    def __init__(self, graph: Graph, stats: Statistics, steps: Sequence[Step]) -> None:
        self.graph, self.stats = graph, stats
        self.writers = {name: step for step in steps if step.integer for name in step.outputs}
        self.lost: dict[str, float] = {}
        self.wide_readers: set[str] = set()

    def back(self, tensor: str) -> None:
        """Follow a tensor back as long as 8 bits lose it."""
        waiting = [tensor]
        while waiting:
            name = waiting.pop()
            writer = self.writers.get(name)
            if writer is None or not self._take(name):
                continue
            family = TRAITS[writer.node.op].family
            if family in ("arithmetic", "move"):
                waiting += writer.inputs
            elif family == "matrix" and len(writer.inputs) == 1 and self._feeds(writer.inputs[0]):
                self.wide_readers.add(writer.name)

    def _feeds(self, name: str) -> bool:
        """Take what a linear layer reads, and what only moves it there, where it is lost; return whether it is."""
        found = False
        while name in self.writers and (name in self.lost or self._take(name)):
            found = True
            writer = self.writers[name]
            if TRAITS[writer.node.op].family != "move" or len(writer.inputs) != 1:
                break
            name = writer.inputs[0]
        return found

    def _take(self, name: str) -> bool:
        if name in self.lost or name not in self.stats:
            return False
        value = decibels_at_8_bits(self.stats[name])
        if value >= LEAST_DB:
            return False
        self.lost[name] = value
        return True
