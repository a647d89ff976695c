"""The two float passes of a job: calibration statistics (cached by content) and the validation reference."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.prepare import Job
from slimai.artifacts.cache import Cache, content_key, hash_files
from slimai.artifacts.spill import Spill, slices
from slimai.errors import Diagnostic
from slimai.quantizer.aids import AS_IT_IS, Rewrites
from slimai.search.evaluate import Validation
from slimai.search.events import Reporter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.sharing import Crew
    from slimai.calibration.collect import FloatRunner
    from slimai.calibration.statistics import Statistics
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph
    from slimai.metrics.base import Result

    Arrays = Mapping[str, NDArray[Any]]

BATCH_ELEMENTS = 1 << 20  # largest activation of a batch, in elements: keeps a batch near the cache
PERCENTILE_BINS = 2048
MOST_IMAGES = 32
INTEGER_ELEMENTS = 1 << 24  # measured on seven networks: 1.2 to 4 times as fast as one image at a time


def batch_size(graph: Graph) -> int:
    """Return how many images run through the float network at once: the largest activation stays near 2^20 elements."""
    return _batch(graph, BATCH_ELEMENTS)


def integer_batch(graph: Graph) -> int:
    """Return how many images run through an integer network at once.

    Its kernels work in tiles of their own, so a batch need not fit a cache: it shares out what a layer costs to begin.
    """
    return _batch(graph, INTEGER_ELEMENTS)


def _batch(graph: Graph, elements: int) -> int:
    if not graph.batchable:
        return 1
    largest = max((math.prod(graph.shape(name)) for name in graph.activations()), default=1)
    return max(1, min(MOST_IMAGES, elements // max(largest, 1)))


def graph_hash(graph: Graph) -> str:
    """Return the sha256, in hex, of the network as it is saved."""
    from slimai.graph.save import to_onnx

    return content_key(to_onnx(graph).SerializeToString(deterministic=True))


def calibrate(
    job: Job,
    graph: Graph,
    cache: Cache,
    reporter: Reporter,
    *,
    threads: int,
    rewrites: Rewrites = AS_IT_IS,
    crew: Crew | None = None,
) -> Statistics:
    """Return the statistics of all quantized activations over the calibration images, from the cache if it has them.

    rewrites: which of the job's networks `graph` is, for the workers of `crew`, which may take part of the pass.
    """
    from slimai.calibration.statistics import Statistics, statistics_key

    bins = job.config.quantization.histogram_bins or PERCENTILE_BINS
    network = graph_hash(graph)
    images = hash_files(file for sample in job.calibration for file in sample.files)
    key = statistics_key(network, preprocessing_key(job), images, bins)
    stats, found = cache.get(
        key,
        ".stats.npz",
        lambda: _CalibrationPass(job, graph, bins, threads, reporter).run(crew, network, rewrites),
        lambda value, path: value.save(path),
        Statistics.load,
    )
    if found:
        reporter.line(f"calibration: found in the cache ({len(job.calibration)} images)")
    result: Statistics = stats
    return result


def preprocessing_key(job: Job) -> str:
    """Return the settings that turn image files into inputs, as text."""
    keep = {"input_data_layout", "channel_order", "mean", "stddev", "resize", "input_node_name"}
    return json.dumps(job.config.network.model_dump(mode="json", include=keep), sort_keys=True)


def float_warnings(job: Job, result: Result) -> list[Diagnostic]:
    """Return a warning when the float network itself scores near chance: preprocessing is the usual cause."""
    if result.score is None or result.score > chance_score(job):
        return []
    return [
        Diagnostic(
            f"the float network scores only {result.score:.4f}: search cannot mend that",
            key="network.mean",
            suggestion="check mean, stddev, channel_order, resize, labels and metric_input before searching",
            severity="warning",
        )
    ]


def chance_score(job: Job) -> float:
    """Return the score that hardly anything but a mistake gives: twice chance for classes, else 5 %."""
    shape = job.graph.shape(job.outputs[0])
    if job.metric.name.startswith("top") and shape:
        return min(0.2, 2.0 / max(shape[-1], 1))
    return 0.05


@dataclass(frozen=True)
class _CalibrationPass:
    """The pass over all calibration images; `crew` may take those behind the first batches."""

    job: Job
    graph: Graph
    bins: int
    threads: int
    reporter: Reporter

    def run(self, crew: Crew | None, network: str, rewrites: Rewrites) -> Statistics:
        from slimai.app.work import CalibrationWork, OpenWork
        from slimai.calibration.collect import collect

        count, batch = len(self.job.calibration), batch_size(self.graph)
        pace = None if crew is None else crew.pace(count, batch)
        work = partial(CalibrationWork, rewrites, network, self.bins, batch)
        with self.reporter.stage("calibrate", count) as stage:

            def feeds() -> Iterator[Mapping[str, NDArray[Any]]]:
                for samples, arrays in _batches(self.job, self.job.calibration, batch):
                    yield arrays
                    stage.advance(len(samples))
                    if pace is not None and pace.handover(OpenWork(work(0, 0))):
                        return

            names = _names(self.job)
            what = collected_tensors(self.graph)
            stats = collect(self.graph, feeds(), **what, bins=self.bins, threads=self.threads, names=names)
            if crew is None or pace is None or stats.images == count:
                return stats
            for part in crew.run(work(start, stop) for start, stop in pace.parts()):
                stats = stats.merged(part)
                stage.advance(part.images)
            return stats


def collect_part(job: Job, graph: Graph, images: slice, *, bins: int, batch: int, runner: FloatRunner) -> Statistics:
    """Return the statistics over a slice of the calibration images, in one thread.

    runner: of `activations_runner`. What is wrong with an image is told as in a pass over all of them.
    """
    from slimai.calibration.collect import collect
    from slimai.data.loader import iter_batches

    found = iter_batches(job.calibration[images], job.preprocess, batch, threads=1)
    batches = (arrays for _, arrays in found)
    what = collected_tensors(graph)
    return collect(graph, batches, **what, bins=bins, names=_names(job), first=images.start, runner=runner)


def collected_tensors(graph: Graph) -> dict[str, Any]:
    """Return which tensors the pass looks at, and of which it keeps channel means, as arguments of `collect`."""
    from slimai.quantizer.layers import quantized_tensors, weighted_inputs

    return {"tensors": quantized_tensors(graph), "per_channel": weighted_inputs(graph)}


def _names(job: Job) -> list[str]:
    return [str(sample.files[0]) for sample in job.calibration]


def _batches(
    job: Job, samples: tuple[Sample, ...], batch: int
) -> Iterator[tuple[list[Sample], Mapping[str, NDArray[Any]]]]:
    from slimai.data.loader import iter_batches

    yield from iter_batches(samples, job.preprocess, batch)


def float_runner(job: Job, *, threads: int) -> Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]:
    """Return what computes the reference outputs: the float network, or the integers of a pre-quantized one."""
    if job.stored is not None:
        from slimai.app.prequantized import reference_runner

        return reference_runner(job, threads=threads)
    from slimai.runtime.session import FloatSession

    return FloatSession(job.graph, outputs=job.outputs, threads=threads).run


def reference_note(job: Job) -> tuple[str, ...]:
    """Return one line about a reference that is not the float network."""
    if job.stored is None:
        return ()
    from slimai.app.prequantized import REFERENCE

    return (f'pre-quantized network: nothing is calibrated; the reference ("float") is {REFERENCE}',)


def reference(job: Job, folder: Path, reporter: Reporter, *, threads: int, crew: Crew | None = None) -> Validation:
    """Return the validation set with its inputs and reference outputs spilled to `folder`.

    The workers of `crew` may compute part of it.
    """
    from slimai.app.work import OpenWork, ReferenceWork

    run = float_runner(job, threads=threads)
    count = len(job.validation)
    inputs, outputs = Spill(folder / "inputs", count), Spill(folder / "reference", count)
    placed: list[Sample] = []
    batch = batch_size(job.graph)
    pace = None if crew is None else crew.pace(count, batch)
    with reporter.stage("float reference", count) as stage:

        def keep(samples: Sequence[Sample], arrays: Arrays, found: Arrays) -> None:
            inputs.put(len(placed), arrays)
            outputs.put(len(placed), found)
            placed.extend(samples)
            stage.advance(len(samples))

        for samples, arrays in _batches(job, job.validation, batch):
            keep(samples, arrays, run(arrays))
            if pace is not None and pace.handover(OpenWork(ReferenceWork(0, 0))):
                break
        if crew is not None and len(placed) < count:
            rest = slices(count, batch, start=len(placed))
            for part in crew.run(ReferenceWork(start, stop) for start, stop in rest):
                keep(*part)
    return Validation(tuple(placed), inputs, outputs, job.outputs, integer_batch(job.graph))
