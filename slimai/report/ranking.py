"""The layers that hurt most, each with a remedy that was tried: how much better the network's output gets by it.

The two forwards of the analysis name suspects; a trial then mends one suspect alone (its limits, or 16 bits) and runs
the whole integer network on a few images. So a layer that only passes on the error of its input is not blamed, and a
noisy layer that does not matter to the output comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Literal

from numpy.typing import NDArray

from slimai.calibration.solve import Grid, best_limits
from slimai.calibration.statistics import Statistics
from slimai.graph.ir import Graph
from slimai.graph.joins import end_nodes
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.levels import LEVELS
from slimai.quantizer.plan import QuantPlan
from slimai.report.analysis import LayerRow
from slimai.report.decibels import decibel
from slimai.report.parts import OutputNoise, output_parts
from slimai.simulator.program import Program

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Cause = Literal["clipping", "rounding", "weights", "overflow"]
SUSPECTS, SHOWN, NAMED = 8, 10, 4
CHEAP_SHARE = 0.6  # a change of limits is proposed before 16 bits when it gains this share of what those gain
WORTH_DB = 0.3  # smaller gains are no remedy
WORTH_SCORE = 0.005  # a smaller loss of the score, on a few images, orders nothing
RAISED_LIMITS = 1.01  # limits count as changed beyond this factor


@dataclass(frozen=True)
class Remedy:
    """A change of one layer: final limits by tensor, or (bits read, bits written) by node name, and how to say it."""

    text: str
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    datatypes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Suspect:
    """A layer that hurts. gain: dB that the network's output gains by the remedy alone, None when none was tried.

    change: the remedy itself where it is worth it. alone: noise over signal of the outputs where this tensor alone is
    rounded in the float network; loss: what the score loses by that; both None where they were not measured.
    """

    row: LayerRow
    cause: Cause
    remedy: str
    gain: float | None = None
    change: Remedy | None = None
    alone: float | None = None
    loss: float | None = None


Replan = Callable[[Remedy], Program]


@dataclass(frozen=True)
class Trials:
    """A few images on which remedies are tried.

    feeds: network inputs [N, ...]. truth: float outputs. rebuild: returns the program with a remedy applied.
    """

    feeds: Arrays
    truth: Arrays
    rebuild: Replan

    def first(self, count: int) -> Trials:
        """Return the trials on the first `count` of the images alone."""
        feeds, truth = ({name: values[:count] for name, values in each.items()} for each in (self.feeds, self.truth))
        return replace(self, feeds=feeds, truth=truth)

    def noise(self, program: Program) -> float:
        """Return the mean over the outputs of their noise over signal, each part of a joined output by itself."""
        return self.ratio(self.outputs(program), program.plan.graph)

    def outputs(self, program: Program) -> Arrays:
        """Return the real values of the integer network's outputs, [N, ...]."""
        return program.dequantize(program.samples(self.feeds))

    def ratio(self, found: Arrays, graph: Graph) -> float:
        """Return the noise over signal of the outputs of a program's `graph`, as `noise` does."""
        noise = OutputNoise(output_parts(graph, self.truth))
        noise.add(self.truth, found)
        return noise.ratio()


def rank(
    rows: Sequence[LayerRow],
    plan: QuantPlan,
    graph: Graph,
    stats: Statistics,
    program: Program,
    trials: Trials | None,
    advance: Callable[[], None] = lambda: None,
    alone: Mapping[str, float] | None = None,
) -> tuple[Suspect, ...]:
    """Return the layers that hurt, worst first.

    Those whose mending helps come first, by the gain; then those where nothing was tried, by the noise that they add;
    then those that are not worth mending, each group by what the tensor alone does to the outputs where that is known.
    Without `trials` the order is by added noise alone. `advance` is called after each suspect. alone: noise over signal
    of the outputs by the tensor that alone is rounded (`slimai.report.alone`); what hurts most by it is among the
    suspects.
    """
    alone = alone or {}
    suspects = _suspects(rows, alone)
    if trials is None:
        return tuple(_left(row, plan) for row in suspects[:SHOWN])
    before = trials.noise(program)
    tried, noises = [], dict[str, float]()
    for row in suspects[:SUSPECTS]:
        tried.append(_try(row, remedies(row, plan, graph, stats), trials, before, noises) or _left(row, plan))
        advance()
    rest = [_left(row, plan) for row in suspects[SUSPECTS:SHOWN]]
    known = (replace(suspect, alone=alone.get(suspect.row.tensor)) for suspect in (*tried, *rest))
    return tuple(sorted(known, key=_order))


def by_loss(suspects: Sequence[Suspect], losses: Mapping[str, float]) -> tuple[Suspect, ...]:
    """Return the suspects with what the score loses by each tensor alone; those that lose some of it first.

    losses: tensor -> float score minus the score with this tensor alone rounded, on the same images.
    """
    told = [replace(suspect, loss=losses.get(suspect.row.tensor)) for suspect in suspects]
    return tuple(sorted(told, key=lambda item: (-_counted(item.loss), *_order(item))))


def _counted(loss: float | None) -> float:
    """Return a loss of the score that is worth an order of its own, else 0."""
    return loss if loss is not None and loss >= WORTH_SCORE else 0.0


def _order(suspect: Suspect) -> tuple[int, float, float]:
    """Return the sort key: remedies that help by their gain, then what was not tried, then the rest."""
    if suspect.gain is not None and suspect.gain >= WORTH_DB:
        return 0, -suspect.gain, 0.0
    noise = suspect.row.added if suspect.alone is None else suspect.alone
    return (1 if suspect.gain is None else 2), -noise, 0.0 if suspect.gain is None else -suspect.gain


def _suspects(rows: Sequence[LayerRow], alone: Mapping[str, float]) -> list[LayerRow]:
    """Return the rows of integer layers: in turn those that add most noise, have the noisiest grids, cost outputs most.

    A grid that clips shows in the layer that writes it and in those that read it, so both lists are looked at; neither
    knows what the outputs lose by it.
    """
    judged = [row for row in rows if row.single_sqnr is not None]
    added = sorted(judged, key=lambda row: -row.added)
    grids = sorted(judged, key=lambda row: -row.own)
    costly = sorted((row for row in judged if row.tensor in alone), key=lambda row: -alone[row.tensor])
    order: dict[str, LayerRow] = {}
    for turn in zip_longest(added, grids, costly):
        for row in filter(None, turn):
            order.setdefault(row.tensor, row)
    return [row for row in order.values() if row.added > 0 or row.own > 0]


def cause(row: LayerRow) -> Cause:
    """Return what most of a layer's own noise comes from."""
    if row.overflows:
        return "overflow"
    weights = 0.0 if row.weight_sqnr is None else 10 ** (-row.weight_sqnr / 10)
    if weights > row.own:
        return "weights"
    return "clipping" if row.clip_share > 0.5 else "rounding"


def _left(row: LayerRow, plan: QuantPlan) -> Suspect:
    return Suspect(row, cause(row), _untried(row, plan))


def _try(
    row: LayerRow, offered: Sequence[Remedy], trials: Trials, before: float, noises: dict[str, float]
) -> Suspect | None:
    """Return the suspect with its best remedy or None. noises: after remedies of several layers, by their text."""
    found: list[tuple[float, Remedy]] = []
    for remedy in offered:
        after = noises[remedy.text] if remedy.text in noises else trials.noise(trials.rebuild(remedy))
        if len(remedy.datatypes) > 1:
            noises[remedy.text] = after
        found.append((decibel(after) - decibel(before), remedy))
    if not found:
        return None
    most = max(gain for gain, _ in found)
    gain, chosen = next((gain, remedy) for gain, remedy in found if gain >= CHEAP_SHARE * most or gain == most)
    if gain < WORTH_DB:
        return Suspect(row, cause(row), "leave it: mending it gains next to nothing", gain)
    return Suspect(row, cause(row), chosen.text, gain, chosen)


def remedies(row: LayerRow, plan: QuantPlan, graph: Graph, stats: Statistics) -> list[Remedy]:
    """Return what can be done about one layer, the cheapest for the target first."""
    found = []
    if row.tensor in plan.limits and row.tensor in stats and row.tensor not in plan.sources:
        found += _other_limits(row, plan, stats)
    layer = next(layer for layer in plan.layers if layer.name == row.layer)
    wider = LEVELS[plan.level].raised_bits
    if wider is not None and plan.tensors[row.tensor].dtype.bits < wider and layer.node.name in graph.by_name:
        found.append(
            Remedy(
                f"run this layer in {wider} bits (mix, nodename_datatypes)",
                datatypes={layer.node.name: (wider, wider)},
            )
        )
        found += _behind_the_heads(layer.node.name, wider, graph)
    return found


def _behind_the_heads(node: str, wider: int, graph: Graph) -> list[Remedy]:
    """Return what runs all of the end of the network in more bits, where `node` is of it: each alone gains nothing."""
    integer = {step.name for step in layer_steps(graph) if step.integer}
    names = [item.name for item in end_nodes(graph) if item.name in integer]
    if node not in names or len(names) < 2:
        return []
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    text = f"run the {len(names)} layers behind the heads in {wider} bits (mix, nodename_datatypes: {shown})"
    return [Remedy(text, datatypes=dict.fromkeys(names, (wider, wider)))]


def _other_limits(row: LayerRow, plan: QuantPlan, stats: Statistics) -> list[Remedy]:
    """Return the whole calibrated range where the grid clips, and the limits of least squared error otherwise."""
    low, high = plan.limits[row.tensor]
    histogram = stats[row.tensor].histogram
    if row.clip_share > 0.5:
        whole = (min(histogram.minimum, 0.0), max(histogram.maximum, 0.0))
        text = f"widen its limits to {whole[0]:.6g} .. {whole[1]:.6g} (Adjust_yaml)"
        return [Remedy(text, {row.tensor: whole})] if _differ((low, high), whole) else []
    params = plan.tensors[row.tensor]
    kind = params.dtype
    if kind.bits > 8:  # finer than the histogram's bins, which cannot tell what narrower limits would gain
        return []
    best = best_limits(histogram, Grid(kind.low, kind.high, free_zero=params.zero_point != 0), "ImprovedMSE")
    text = f"narrow its limits to {best.low:.6g} .. {best.high:.6g} (Adjust_yaml)"
    return [Remedy(text, {row.tensor: (best.low, best.high)})] if best.magnitude < max(-low, high) / 1.05 else []


def _differ(mine: tuple[float, float], theirs: tuple[float, float]) -> bool:
    return max(-theirs[0], theirs[1]) > RAISED_LIMITS * max(-mine[0], mine[1]) or theirs != mine


def _untried(row: LayerRow, plan: QuantPlan) -> str:
    """Return the advice for a layer whose remedy was not measured."""
    why = cause(row)
    if why == "overflow":
        return "its sums leave the accumulator: narrow the weights or raise target.acc_bits"
    if plan.tensors[row.tensor].dtype.bits > 8:
        return "widen its limits" if why == "clipping" else "leave it: it has 16 bits already"
    if why == "weights" and row.weights:
        return "give its weights 8 bits (mix, weighttypes: [s8])"
    if why == "weights":
        per_channel = any(layer.name == row.layer and layer.weight is not None and layer.weight.per_channel
                          for layer in plan.layers)  # fmt: skip
        return "raise it to 16 bits" if per_channel else "quantization.equalization, or accuracy_level 1 and up"
    if LEVELS[plan.level].other is None:
        return "widen its limits" if why == "clipping" else "accuracy_level 1 and up allow 16 bits here"
    return "widen its limits" if why == "clipping" else "run it in 16 bits, or narrow its limits"
