"""Which layer loses the accuracy: every layer against float, within the network and alone, from two integer forwards.

*entire*: the integer network as it is, so that errors of earlier layers are in the numbers. *single*: each layer fed
with the float network's values, quantized, so that only its own weights, arithmetic and output grid are judged. Both
come from one float forward that exposes every tensor, one run of the integer network and one run of its layers one by
one; no layer is ever run again for another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.graph.samples import each_step, images, sample_axis
from slimai.graph.sentinels import sentinel_tensors
from slimai.quantizer.levels import limits_of
from slimai.quantizer.params import S4, QParams
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.quantizer.weight_layout import weight_layout
from slimai.report.decibels import decibel
from slimai.report.reach import Reach
from slimai.report.similarity import Likeness, compare_image, finite_ratio, flat
from slimai.runtime.session import FloatSession
from slimai.simulator.context import Tally
from slimai.simulator.program import IntegerStep, Program

Array = NDArray[Any]
Arrays = Mapping[str, Array]
BATCH_BYTES = 1 << 25  # float values of all tensors that are held at once
MOST_IMAGES = 16


@dataclass(frozen=True)
class LayerRow:
    """One tensor that a layer writes, against its float twin.

    cosine and sqnr (dB): within the network (entire) and alone (single, None for layers on the host). own: noise over
    signal of the tensor's grid alone, its float values rounded and clipped; clip_share: the part of that noise from
    clipping; clipped: share of the float values beyond the limits. weight_sqnr: of the integer weights, dB. added:
    noise over signal that the layer adds beyond what its inputs bring. overflows: sums that left the accumulator.
    weights: their type where it is s4, else empty.
    """

    layer: str
    kind: str
    tensor: str
    profile: str
    dtype: str
    cosine: float
    sqnr: float
    single_cosine: float | None = None
    single_sqnr: float | None = None
    own: float = 0.0
    clip_share: float = 0.0
    clipped: float = 0.0
    weight_sqnr: float | None = None
    added: float = 0.0
    overflows: int = 0
    low: float | None = None
    high: float | None = None
    weights: str = ""


@dataclass
class _Grid:
    """What quantizing the float values of a tensor does to them: sums over all images."""

    signal: float = 0.0
    noise: float = 0.0
    clipped_noise: float = 0.0
    clipped: int = 0
    values: int = 0

    @property
    def ratio(self) -> float:
        return finite_ratio(self.noise, self.signal)


def batch_for(graph: Graph) -> int:
    """Return how many images the analysis takes at once: as many as keep all tensors in float near 32 MB."""
    if not graph.batchable or graph.sequences:
        return 1
    held = sum(4 * math.prod(graph.shape(name)) for name in graph.activations())
    return max(1, min(MOST_IMAGES, BATCH_BYTES // max(held, 1)))


class Analyser:
    """Gathers the likeness of every layer, batch after batch; memory does not grow with the images."""

    def __init__(self, graph: Graph, program: Program, *, threads: int = 1) -> None:
        """`graph`: the float network that the program's plan was made from."""
        self.graph, self.program, self.plan = graph, program, program.plan
        self.written = tuple(_written(graph, self.plan))
        self._session: FloatSession | None = FloatSession(
            graph, outputs=_exposed(graph, self.plan, self.written), threads=threads
        )
        self._entire = {name: Likeness() for _, name in self.written}
        self._single = {name: Likeness() for _, name in self.written}
        self._grids: dict[str, _Grid] = {}
        self.reach = Reach()
        self._sentinels = sentinel_tensors(graph)
        self._before = dict(program.overflows)
        self.images = 0

    def add(
        self,
        feeds: Arrays,
        *,
        single: bool = True,
        sink: Callable[[Arrays], None] | None = None,
        seen: Callable[[Arrays], None] | None = None,
    ) -> tuple[Arrays, Arrays]:
        """Take in a batch of network inputs [N, ...]; return the float and the integer tensors by name, [N, ...] too.

        Of sequences they are [N, steps, ...], and without a sink those of the outputs only. single: whether the layers
        are run alone too. sink: is given the integers of all layers, of this batch. seen: the float tensors of a step.
        """
        if self._session is None:
            raise RuntimeError("nothing can be added to a finished analysis")
        names = [name for _, name in self.written]
        both = zip(
            each_step(self.graph, self._session.run, feeds), self.program.each_step(feeds, capture=names), strict=True
        )
        kept = set(self.graph.outputs) if self.graph.sequences and sink is None else None
        real, integers = [], []
        for (ready, floats), (_, found) in both:
            truth = self._within_grids({**ready, **floats})
            for name in names:
                self._compare(self._entire[name], truth[self.source(name)], name, found[name])
            if single:
                self._layers_alone(truth)
            shown = sample_axis(self.graph, truth)
            if seen is not None:
                seen(shown)
            real.append(_only(shown, kept))
            integers.append(_only(sample_axis(self.graph, found), kept))
        self.images += len(next(iter(feeds.values()))) if self.graph.batchable else 1
        together = _whole(self.graph, integers)
        if sink is not None:
            sink({name: together[name] for name in names})
        return _whole(self.graph, real), together

    def _within_grids(self, truth: dict[str, Any]) -> dict[str, Any]:
        """Return the float tensors with the end of the grid in place of each sentinel, as the integers have it."""
        for name, sentinel in self._sentinels.items():
            if name in truth and name in self.plan.tensors:
                end = limits_of(self.plan.tensors[name])[0 if sentinel.side < 0 else 1]
                truth[name] = np.where(sentinel.among(truth[name]), np.float32(end), truth[name])
        return truth

    def finish(self) -> None:
        """Give the float session back, which holds a batch of all activations; nothing can be added any more."""
        self._session = None

    def source(self, tensor: str) -> str:
        """Return the float tensor whose values `tensor` holds."""
        return self.plan.sources.get(tensor, tensor)

    def _compare(self, likeness: Likeness, truth: Array, tensor: str, found: Array) -> None:
        params = self.plan.tensors.get(tensor)
        for image, answer in zip(images(self.graph, truth), images(self.graph, found), strict=True):
            likeness.add(compare_image(image, answer, params))

    def _layers_alone(self, truth: Arrays) -> None:
        """Run every integer layer on the quantized float values of its inputs."""
        integers: dict[str, Array] = {}
        for step in self.program.steps:
            for name in step.layers[0].inputs if isinstance(step, IntegerStep) else ():
                if name not in integers:
                    integers[name] = self._quantized(name, truth[self.source(name)])
            if isinstance(step, IntegerStep):
                made = step.compiled.kernel([integers[name] for name in step.layer.inputs], Tally())
                for name, values in zip(step.layer.outputs, made, strict=True):
                    if name in self._single:
                        self._compare(self._single[name], truth[self.source(name)], name, values)
        for name in self._single.keys() - integers.keys():
            if name in self.plan.tensors:
                self._quantized(name, truth[self.source(name)])

    def _quantized(self, tensor: str, truth: Array) -> Array:
        """Return the integers of float values [N, ...], noting what the grid does to them."""
        params = self.plan.tensors[tensor]
        self.reach.add(tensor, truth)
        found = np.empty(truth.shape, params.dtype.numpy)
        grid = self._grids.setdefault(tensor, _Grid())
        for image, place in zip(images(self.graph, truth), images(self.graph, found), strict=True):
            _note_grid(grid, image, place, params)
        return found

    def rows(self) -> tuple[LayerRow, ...]:
        """Return one row for every tensor that a layer writes, in graph order."""
        return tuple(self._row(layer, name) for layer, name in self.written)

    def _row(self, layer: Layer, tensor: str) -> LayerRow:
        entire, single = self._entire[tensor], self._single[tensor]
        params, alone = self.plan.tensors.get(tensor), bool(single.cosines)
        grid = self._grids.get(tensor, _Grid())
        low, high = self.plan.limits.get(tensor, (None, None))
        return LayerRow(
            layer.name,
            layer.kind,
            tensor,
            self.plan.profile_names.get(tensor, tensor),
            "float32" if params is None else params.dtype.name,
            entire.cosine,
            entire.sqnr,
            single.cosine if alone else None,
            single.sqnr if alone else None,
            own=grid.ratio,
            clip_share=grid.clipped_noise / grid.noise if grid.noise else 0.0,
            clipped=grid.clipped / max(grid.values, 1),
            weight_sqnr=_weight_sqnr(self.graph, layer),
            added=self._added(layer, single) if alone else 0.0,
            overflows=self.program.overflows[layer.name] - self._before.get(layer.name, 0),
            low=low,
            high=high,
            weights=S4.name if layer.weight is not None and layer.weight.dtype == S4 else "",
        )

    def _added(self, layer: Layer, single: Likeness) -> float:
        brought = [self._grids[name].ratio for name in layer.inputs if name in self._grids]
        return max(0.0, finite_ratio(single.noise, single.signal) - math.fsum(brought))


def _only(tensors: dict[str, Array], kept: AbstractSet[str] | None) -> dict[str, Array]:
    return tensors if kept is None else {name: value for name, value in tensors.items() if name in kept}


def _whole(graph: Graph, steps: list[dict[str, Array]]) -> dict[str, Array]:
    """Return the tensors [n, ...] of one step, [n, steps, ...] of sequences."""
    if not graph.sequences:
        return steps[0]
    return {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}


def _note_grid(grid: _Grid, image: Array, place: Array, params: QParams) -> None:
    from slimai.report._kernels import quantize  # noqa: PLC0415 - spares numba

    values, integers, sums = flat(image, np.float32), place.reshape(-1), np.zeros(4)
    kind = params.dtype
    quantize(values, params.scale, float(params.zero_point), float(kind.low), float(kind.high), integers, sums)
    grid.signal += float(sums[0])
    grid.noise += float(sums[1])
    grid.clipped_noise += float(sums[2])
    grid.clipped += int(sums[3])
    grid.values += values.size


def _written(graph: Graph, plan: QuantPlan) -> Iterator[tuple[Layer, str]]:
    """Yield (layer, tensor) for every float tensor of the network that a layer writes."""
    for layer in plan.layers:
        for name in layer.outputs:
            source = plan.sources.get(name, name)
            if source in graph.tensors and graph.tensors[source].dtype == "float32":
                yield layer, name


def _exposed(graph: Graph, plan: QuantPlan, written: Sequence[tuple[Layer, str]]) -> list[str]:
    """Return the float tensors that the float network has to give."""
    read = [name for layer in plan.layers if layer.mode == "integer" for name in layer.inputs]
    names = [plan.sources.get(name, name) for name in (*read, *(name for _, name in written))]
    return [name for name in dict.fromkeys((*names, *graph.outputs)) if name not in graph.inputs]


def _weight_sqnr(graph: Graph, layer: Layer) -> float | None:
    """Return the SQNR of the integer weights of a matrix layer in dB, None for other layers."""
    traits, weight = TRAITS.get(layer.node.op), layer.weight
    if weight is None or traits is None or traits.weight is None or traits.family != "matrix":
        return None
    truth = graph.constants.get(layer.node.inputs[traits.weight])
    if truth is None or truth.shape != weight.values.shape:
        return None
    spread = weight_layout(layer.node, weight.values.shape).spread(weight.scale, weight.values.shape)
    real = (weight.values.astype(np.float64) - weight.zero_point) * spread
    signal = float(np.square(truth, dtype=np.float64).sum())
    return decibel(float(np.square(truth - real).sum()) / signal) if signal else None
