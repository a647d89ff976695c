"""The two float passes as one process does them: batches, statistics, reference outputs."""

from __future__ import annotations

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
