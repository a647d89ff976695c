"""The one float pass over the calibration images, streamed: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.calibration.histogram import NonFiniteError
from slimai.calibration.not_finite import not_finite
from slimai.calibration.statistics import Statistics, TensorCollector
from slimai.errors import InputError
from slimai.floating_point import guarded
from slimai.graph.ir import Graph
from slimai.graph.joins import sliced_tensors
from slimai.graph.samples import each_step
from slimai.graph.sentinels import sentinel_tensors
from slimai.runtime.memory import return_freed
from slimai.runtime.session import FloatSession

Array = NDArray[Any]
Map = Callable[[Callable[[str], None], Iterable[str]], Iterable[None]]


class FloatRunner(Protocol):
    """Whatever runs the float network: input arrays by name -> arrays by tensor name."""

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the outputs of one batch."""


def float_activations(graph: Graph) -> tuple[str, ...]:
    """Return the names of all float32 activations (inputs and node outputs) in graph order."""
    return tuple(name for name in graph.activations() if graph.tensors[name].dtype == "float32")


def collect(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    *,
    tensors: Sequence[str] | None = None,
    bins: int = 2048,
    per_channel: bool | Container[str] | Mapping[str, int] = False,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
    names: Sequence[str] = (),
    first: int = 0,
    runner: FloatRunner | None = None,
) -> Statistics:
    """Return the statistics of `tensors` (default: every float activation) over all batches, sentinels left out.

    batches: mappings input name -> [N, ...] float32; only one is held at a time. bins: fewest histogram
    bins across a tensor's range. per_channel: whether channel means along axis 1 are gathered too, or for which
    tensors, or along which axis of which tensors.
    threads: tensors are shared out over so many threads; the result has the same bits for any number, batch
    size and order of the images. progress is called with the number of images done. names: image names in
    order, for messages. first: place of the first image in `names` and in messages. runner: default ONNX
    Runtime on `graph`, as `activations_runner` gives it.

    Raises:
        InputError: an activation is not finite (names tensor and image), or there is no image.
    """
    wanted = tuple(tensors) if tensors is not None else float_activations(graph)
    session = runner if runner is not None else activations_runner(graph, wanted, threads=threads)
    means = wanted if per_channel is True else per_channel or ()
    axes, sentinels = per_channel if isinstance(per_channel, Mapping) else {}, sentinel_tensors(graph)
    sliced = sliced_tensors(graph)
    collectors = {
        name: TensorCollector(
            bins,
            per_channel=name in means,
            axis=axes.get(name, 1),
            sentinel=sentinels.get(name),
            slices=sliced.get(name, ()),
        )
        for name in wanted
    }
    images = 0
    with ThreadPoolExecutor(max_workers=max(threads, 1)) as pool:
        share: Map = pool.map if threads > 1 else map  # handing over costs more than a small tensor does
        for feeds in batches:
            count = len(next(iter(feeds.values()))) if graph.batchable else 1
            start = first + images
            for ready, found in each_step(graph, session.run, feeds):
                values = {**ready, **found}
                try:
                    _add(share, collectors, values, count)
                except NonFiniteError:
                    here = names[start : start + count]
                    raise not_finite(graph, values, sentinels, here, start, several=count > 1) from None
            images += count
            if progress is not None:
                progress(images)
    if images == 0:
        raise InputError("calibration: no image was given; name at least one in dataset.calibration_set")
    return Statistics({name: collectors[name].result() for name in wanted}, images, bins)


def activations_runner(graph: Graph, tensors: Sequence[str] | None = None, *, threads: int = 1) -> FloatRunner:
    """Return the runner, feeds -> arrays, of `tensors` (default: every float activation); inputs are left out."""
    wanted = tuple(tensors) if tensors is not None else float_activations(graph)
    given = [name for name in wanted if name not in graph.inputs]
    return _session(graph, [*given, *_handed_on(graph, given)], threads)


def _handed_on(graph: Graph, given: Sequence[str]) -> list[str]:
    """Return the outputs that the next step of a sequence needs beside those that are given."""
    needed = graph.states.values() if graph.sequences else ()
    return [name for name in needed if name not in given]


def channel_magnitudes(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    *,
    threads: int = 1,
    runner: FloatRunner | None = None,
    axes: Mapping[str, int] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return activation -> [C] largest |value| of each channel (axis 1) over all images, for float activations.

    axes: the activations asked for, with the axis of their channels; None takes all. The result does not depend on
    batch size or order.
    """
    extremes = channel_extremes(graph, batches, threads=threads, runner=runner, axes=axes)
    return {name: np.maximum(high, -low) for name, (low, high) in extremes.items()}


def channel_extremes(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    *,
    threads: int = 1,
    runner: FloatRunner | None = None,
    axes: Mapping[str, int] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return activation -> [2, C] smallest and largest value of each channel (axis 1), for float activations.

    Over all images, one batch held at a time; the result does not depend on batch size or order. axes: the activations
    asked for, with the axis of their channels; None takes all.
    """
    names = [name for name in float_activations(graph) if name not in graph.inputs and len(graph.shape(name)) > 1]
    names = [name for name in names if axes is None or name in axes]
    places = dict.fromkeys(names, 1) if axes is None else axes
    session = runner if runner is not None else _session(graph, [*names, *_handed_on(graph, names)], threads)
    sentinels = sentinel_tensors(graph)
    found: dict[str, NDArray[np.float64]] = {}
    steps = (values for feeds in batches for _, values in each_step(graph, session.run, feeds))
    for values in steps:
        for name in names:
            data = values[name]
            if name in sentinels:
                data = np.where(sentinels[name].among(data), np.float32(0), data)
            low, high = _channel_extremes(data, places[name])
            if name in found:
                low, high = np.minimum(found[name][0], low), np.maximum(found[name][1], high)
            found[name] = np.stack([low, high])
    return found


def _channel_extremes(values: Array, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return [C] the smallest and the largest value of each channel along `axis`."""
    rows = values.reshape(*values.shape[: axis + 1], -1)  # innermost first: that is one long run of memory
    others = tuple(range(axis))
    low, high = rows.min(axis=-1).min(axis=others), rows.max(axis=-1).max(axis=others)
    return low.astype(np.float64), high.astype(np.float64)


def _session(graph: Graph, outputs: Sequence[str], threads: int) -> FloatRunner:
    session: FloatRunner = FloatSession(graph, outputs=outputs, threads=threads, reuse=True)
    return_freed()  # a network is in memory several times over while it is optimized, serialized and opened
    return session


def _add(share: Map, collectors: Mapping[str, TensorCollector], values: Mapping[str, Array], count: int) -> None:
    """Give every collector its array of `count` images, the largest arrays first so that the threads end together."""

    def one(tensor: str) -> None:
        with guarded(tensor, "its statistics were taken"):
            collectors[tensor].add(values[tensor], count)

    for _ in share(one, sorted(collectors, key=lambda name: -values[name].size)):
        pass
