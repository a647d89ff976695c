"""Weights rounded layer by layer: each to keep its output, given what the integer network before it computes.

One walk over the network: between two weighted layers the frontier of all calibration images is stepped on from disk to
disk, and the moments of the next layer are gathered on the way. Memory holds a batch of images and one layer's moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.ops import has_bias_slot
from slimai.graph.samples import own_shapes
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.quantizer.rounding.fit import Fitted, Problem
from slimai.quantizer.rounding.moments import Moments, target_units
from slimai.quantizer.rounding.result import LayerReport, RoundedLayer, Rounding
from slimai.quantizer.rounding.rows import Rows
from slimai.quantizer.weights import BIAS_ROOM_BITS
from slimai.runtime.session import FloatSession
from slimai.simulator.arithmetic import NATIVE
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Tally
from slimai.simulator.frontier import Frontier
from slimai.simulator.program import IntegerStep, Program, Step, Target, compile_layer, compile_plan

Array = NDArray[Any]
HELD_OUT = 4  # every fourth calibration image
FEWEST_IMAGES = 4


@dataclass(frozen=True, eq=False)
class Images:
    """The calibration images: `count` of them, from `batches` in order, as often as it is called."""

    count: int
    batches: Callable[[], Iterable[Mapping[str, Array]]]


@dataclass(frozen=True)
class Todo:
    """A weighted layer to be rounded: the index of its step, its weight in the plan, and its rows."""

    index: int
    layer: Layer
    weight: QWeight
    rows: Rows


Solved = Callable[[LayerReport, "RoundedLayer | None"], None]


@dataclass(eq=False)
class RoundingPass:
    """Rounds the weights of `plan`, the reference setting of `graph`, over the calibration images.

    folder: for files that are gone at the end. known: node name -> what an earlier, interrupted pass found. solved: is
    told of each layer that is new. arithmetic: of the simulator.
    """

    graph: Graph
    plan: QuantPlan
    target: Target
    images: Images
    folder: Path
    arithmetic: str = NATIVE
    known: Mapping[str, tuple[LayerReport, RoundedLayer | None]] = field(default_factory=dict)
    solved: Solved = lambda report, layer: None  # noqa: ARG005 - names of the call

    def run(self) -> Rounding:
        """Return the rounding of every layer, the same bytes for any batch size."""
        reports: list[LayerReport] = []
        layers: dict[str, RoundedLayer] = {}
        for report, layer in self._results():
            reports.append(report)
            if layer is not None:
                layers[report.node] = layer
        return Rounding(layers, tuple(reports))

    def _results(self) -> Iterator[tuple[LayerReport, RoundedLayer | None]]:
        program = compile_plan(self.plan, self.target, arithmetic=self.arithmetic)
        todo = [self._todo(index, step) for index, step in enumerate(program.steps)]
        targets = self._targets([item for item in todo if isinstance(item, Todo)])
        walk = _Walk(program, self.images.count, self.folder / "frontier", stacked=self.graph.batchable)
        try:
            walk.enter(self.images.batches())
            for item in todo:
                if isinstance(item, LayerReport):
                    yield item, None
                elif item is not None:
                    yield self._layer(walk, item, targets)
        finally:
            walk.close()
            targets.close()

    def _layer(self, walk: _Walk, item: Todo, targets: Frontier) -> tuple[LayerReport, RoundedLayer | None]:
        name = item.layer.node.name
        if name in self.known:
            report, rounded = self.known[name]
        else:
            report, rounded = self._solve(walk, item, targets.get(0, self.images.count, [name])[name])
            targets.keep({*targets.names} - {name})
            self.solved(report, rounded)
        if rounded is not None:
            layer = with_rounding(item.layer, rounded, self.plan.tensors[item.layer.inputs[0]])
            walk.replace(item.index, compile_layer(self.plan, layer, self.target, self.arithmetic, walk.pool))
        return report, rounded

    def _todo(self, index: int, step: Step) -> Todo | LayerReport | None:
        """Return what is to do for a step: a problem, a report of a layer that stays, or nothing to tell."""
        if not isinstance(step, IntegerStep) or step.layer.weight is None or step.layer.node.op == "PRelu":
            return None
        layer, weight, name = step.layer, step.layer.weight, step.layer.node.name
        rows = Rows.of(self.graph, layer.node)
        if rows is None:
            return LayerReport(name, "its weights are no constant matrix")
        if weight.dtype.bits > 8:
            return LayerReport(name, "its weights have 16 bits")
        samples = self.images.count * rows.samples(self.images.count)
        if self.images.count < FEWEST_IMAGES:
            return LayerReport(name, f"{self.images.count} calibration images are too few", samples, rows.inputs)
        if samples < rows.inputs:
            return LayerReport(name, f"{samples} samples for {rows.inputs} weights a row", samples, rows.inputs)
        return Todo(index, layer, weight, rows)

    def _targets(self, todo: list[Todo]) -> Frontier:
        """Return [images, n, O] what the float layers compute at the chosen positions, by node name, on disk.

        The session has the outputs of all of them, known or not: which ones it has decides how ONNX Runtime fuses
        operators, and so the last bits.
        """
        found = Frontier(self.folder / "targets", self.images.count, stacked=True)
        wanted = [item for item in todo if item.layer.node.name not in self.known]
        if not wanted:
            return found
        session = FloatSession(self.graph, [item.layer.node.outputs[0] for item in todo], reuse=True)
        first = 0
        for feeds in self.images.batches():
            values = session.run(own_shapes(self.graph, feeds))
            count = len(next(iter(feeds.values()))) if self.graph.batchable else 1
            for item in wanted:
                output = values[item.layer.node.outputs[0]]
                parts = []
                for image in range(count):
                    own = output[image : image + 1] if self.graph.batchable else output
                    chosen = item.rows.chosen(self.images.count, first + image)
                    parts.append(item.rows.writes(own, chosen))
                found.put(first, {item.layer.node.name: np.stack(parts)})
            first += count
        return found

    def _solve(self, walk: _Walk, item: Todo, y: Array) -> tuple[LayerReport, RoundedLayer | None]:
        rows, layer = item.rows, item.layer
        params = self.plan.tensors[layer.inputs[0]]
        largest = max(params.dtype.high - params.zero_point, params.zero_point - params.dtype.low)
        units = target_units(y)
        integers = np.rint(y / units).astype(np.int16)
        fit, held = (Moments.empty(rows.groups, rows.inputs, rows.outputs) for _ in range(2))
        for first, values in walk.until(item.index):
            count = len(values) if self.graph.batchable else 1
            for image in range(count):
                own = values[image : image + 1] if self.graph.batchable else values
                centred = own.astype(np.int16) - np.int16(params.zero_point)
                at = first + image
                part = held if at % HELD_OUT == HELD_OUT - 1 else fit
                part.add(rows.reads(centred, rows.chosen(self.images.count, at)), integers[at], largest)
        return self._accepted(item, fit, held, units)

    def _accepted(
        self, item: Todo, fit: Moments, held: Moments, units: NDArray[np.float64]
    ) -> tuple[LayerReport, RoundedLayer | None]:
        """Return the layer fitted on all images, where its fit without the held-out ones is better on those."""
        layer, rows = item.layer, item.rows
        stored = self.graph.constants[layer.node.inputs[1]]
        shape = (rows.groups, rows.outputs)
        scale = np.broadcast_to(item.weight.scale, (rows.groups * rows.outputs,)).reshape(shape)
        step = self.plan.tensors[layer.inputs[0]].scale
        weights = rows.weights(stored).astype(np.float64)
        biased = has_bias_slot(layer.node)
        problem = Problem(weights, scale, step, units.reshape(shape), item.weight.dtype.high, biased)
        trust = problem.trusted(fit, held)
        trial = problem.fitted(fit, trust)
        own = np.zeros(shape) if layer.bias is None else layer.bias.reshape(shape) * (step * scale)
        before = problem.error(rows.weights(item.weight.values).astype(np.int64), own, held)
        after = problem.error(trial.integers, trial.bias, held)
        both = fit.merged(held)
        report = LayerReport(layer.node.name, "", both.count, rows.inputs, before, after)
        if not after < before:
            return replace(report, why="held-out images do not gain"), None
        return report, _rounded(item, stored, problem.fitted(both, trust))


def _rounded(item: Todo, stored: Array, found: Fitted) -> RoundedLayer:
    values = np.ascontiguousarray(item.rows.stored(found.integers, stored), item.weight.dtype.numpy)
    return RoundedLayer(replace(item.weight, values=values), found.bias.reshape(-1))


def with_rounding(layer: Layer, rounded: RoundedLayer, reads: QParams) -> Layer:
    """Return the layer with rounded weights and their bias, which it gets where it had none but has a place."""
    if not has_bias_slot(layer.node):
        return replace(layer, weight=rounded.weight)
    room = 2.0 ** BIAS_ROOM_BITS[reads.dtype.bits]
    bias = np.clip(np.rint(rounded.bias / (reads.scale * rounded.weight.scale)), -room, room)
    return replace(layer, weight=rounded.weight, bias=bias.astype(np.int64))


class _Walk:
    """The integer network, run up to one step after the other for all images."""

    def __init__(self, program: Program, images: int, folder: Path, *, stacked: bool) -> None:
        self._program = program
        self._steps = list(program.steps)
        self._images, self._stacked = images, stacked
        self._frontier = Frontier(folder, images, stacked=stacked)
        self._done = 0  # steps before it have been run
        self.pool = BufferPool()
        last = {name: index for index, names in enumerate(program.last_use) for name in names}
        self._last = {name: last.get(name, len(self._steps)) for name in program.plan.graph.activations()}
        self._batch = 1

    def enter(self, batches: Iterable[Mapping[str, Array]]) -> None:
        """Store the network's inputs."""
        first = 0
        for feeds in batches:
            entered = self._program.entering(own_shapes(self._program.plan.graph, feeds))
            self._frontier.put(first, entered)
            self._batch = max(self._batch, len(next(iter(entered.values()))) if self._stacked else 1)
            first += self._batch if self._stacked else 1

    def replace(self, index: int, step: Step) -> None:
        """Put another step in the place of one that has not been run."""
        self._steps[index] = step

    def until(self, index: int) -> Iterator[tuple[int, Array]]:
        """Run all images up to the step, which is not run; yield (first image, what it reads) a batch."""
        steps, tally = self._steps[self._done : index], Tally()
        wanted = self._steps[index].layers[0].inputs[0]
        reads = self._reads(steps, wanted)
        for start in range(0, self._images, self._batch):
            values = self._frontier.get(start, min(start + self._batch, self._images), reads)
            made: dict[str, Array] = {}
            for place, step in enumerate(steps, self._done):
                produced = self._program.run_step(step, values, tally)
                values.update(produced)
                made.update({name: value for name, value in produced.items() if self._last[name] >= index})
                for name in self._program.last_use[place]:
                    values.pop(name, None)
            self._frontier.put(start, made)
            yield start, values[wanted]
        self._done = index
        self._frontier.keep(name for name, last in self._last.items() if last >= index)

    def _reads(self, steps: list[Step], wanted: str) -> list[str]:
        """Return what the steps read, and `wanted`, as far as it is in the frontier."""
        found: dict[str, None] = {}
        made: set[str] = set()
        for step in steps:
            inputs = step.layer.inputs if isinstance(step, IntegerStep) else step.inputs
            found.update(dict.fromkeys(name for name in inputs if name not in made))
            made.update(name for layer in step.layers for name in layer.outputs)
        if wanted not in made:
            found[wanted] = None
        return list(found)

    def close(self) -> None:
        """Delete the files."""
        self._frontier.close()
