"""The two float passes of a job: calibration statistics (cached by content) and the validation reference."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.prepare import Job
from slimai.artifacts.cache import Cache, content_key, hash_files
from slimai.artifacts.spill import Spill
from slimai.errors import Diagnostic
from slimai.search.evaluate import Validation
from slimai.search.events import Reporter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.calibration.statistics import Statistics
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph
    from slimai.metrics.base import Result

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


def calibrate(job: Job, graph: Graph, cache: Cache, reporter: Reporter, *, threads: int) -> Statistics:
    """Return the statistics of all quantized activations over the calibration images, from the cache if it has them."""
    from slimai.calibration.statistics import Statistics, statistics_key

    bins = job.config.quantization.histogram_bins or PERCENTILE_BINS
    images = hash_files(file for sample in job.calibration for file in sample.files)
    key = statistics_key(graph_hash(graph), preprocessing_key(job), images, bins)
    stats, found = cache.get(
        key,
        ".stats.npz",
        lambda: _collect(job, graph, reporter, bins, threads),
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


def _collect(job: Job, graph: Graph, reporter: Reporter, bins: int, threads: int) -> Statistics:
    from slimai.calibration.collect import collect
    from slimai.quantizer.layers import quantized_tensors, weighted_inputs

    names = [str(sample.files[0]) for sample in job.calibration]
    with reporter.stage("calibrate", len(job.calibration)) as stage:

        def feeds() -> Iterator[Mapping[str, NDArray[Any]]]:
            for samples, arrays in _batches(job, job.calibration, batch_size(graph)):
                yield arrays
                stage.advance(len(samples))

        return collect(
            graph,
            feeds(),
            tensors=quantized_tensors(graph),
            bins=bins,
            per_channel=weighted_inputs(graph),
            threads=threads,
            names=names,
        )


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


def reference(job: Job, folder: Path, reporter: Reporter, *, threads: int) -> Validation:
    """Return the validation set with its inputs and reference outputs spilled to `folder`."""
    run = float_runner(job, threads=threads)
    count = len(job.validation)
    inputs, outputs = Spill(folder / "inputs", count), Spill(folder / "reference", count)
    placed: list[Sample] = []
    batch = batch_size(job.graph)
    with reporter.stage("float reference", count) as stage:
        for samples, arrays in _batches(job, job.validation, batch):
            inputs.put(len(placed), arrays)
            outputs.put(len(placed), run(arrays))
            placed.extend(samples)
            stage.advance(len(samples))
    return Validation(tuple(placed), inputs, outputs, job.outputs, integer_batch(job.graph))
