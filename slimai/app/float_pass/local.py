"""The two float passes as one process does them: batches, statistics, reference outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slimai.app.candidates.stored_reference import reference_runner
from slimai.app.opening.job import Job
from slimai.calibration.collect import collect
from slimai.data.loader import iter_batches
from slimai.graph.samples import run_samples
from slimai.interrupts import check
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.runtime.session import FloatSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.calibration.collect import FloatRunner
    from slimai.calibration.statistics import Statistics
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph

BATCH_ELEMENTS = 1 << 20  # largest activation of a batch, in elements: keeps a batch near the cache
MOST_IMAGES = 32
INTEGER_ELEMENTS = 1 << 24  # measured on seven networks: 1.2 to 4 times as fast as one image at a time


def batch_size(graph: Graph) -> int:
    """Return how many images run through the float network at once: the largest activation stays near 2^20 elements."""
    return _batch(graph, BATCH_ELEMENTS)


def float_batch(job: Job, graph: Graph, samples: Sequence[Sample]) -> int:
    """Return how many of these samples run through a float network at once: one where sequences differ in length."""
    return 1 if job.preprocess.uneven(samples) else batch_size(graph)


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


def collect_part(
    job: Job,
    graph: Graph,
    images: slice,
    *,
    bins: int,
    batch: int,
    runner: FloatRunner,
    samples: Sequence[Sample] | None = None,
) -> Statistics:
    """Return the statistics over a slice of the calibration images, in one thread.

    runner: of `activations_runner`. samples: those of the slice, where their files lie elsewhere than the job says.
    What is wrong with an image is told as in a pass over all of them.
    """
    own = job.calibration[images] if samples is None else samples
    found = iter_batches(own, job.preprocess, batch, threads=1)
    batches = (arrays for _, arrays in found)
    what = collected_tensors(graph)
    return collect(graph, batches, **what, bins=bins, names=_names(job), first=images.start, runner=runner)


def collected_tensors(graph: Graph) -> dict[str, Any]:
    """Return which tensors the pass looks at, and of which it keeps channel means, as arguments of `collect`."""
    return {"tensors": quantized_tensors(graph), "per_channel": weighted_inputs(graph)}


def _names(job: Job) -> list[str]:
    return [str(sample.files[0]) for sample in job.calibration]


def _batches(
    job: Job, samples: tuple[Sample, ...], batch: int
) -> Iterator[tuple[list[Sample], Mapping[str, NDArray[Any]]]]:
    for found in iter_batches(samples, job.preprocess, batch):
        check()
        yield found


def float_runner(job: Job) -> Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]:
    """Return the runner, feeds -> outputs, of the reference: the float network, or a pre-quantized one in integers."""
    if job.stored is not None:
        return reference_runner(job)

    session = FloatSession(job.graph, outputs=job.outputs)
    return lambda feeds: run_samples(job.graph, session.run, feeds)
