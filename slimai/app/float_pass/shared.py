"""The two float passes of a job: calibration statistics (cached by content) and the validation reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.float_pass.local import (
    _batches,
    _names,
    collected_tensors,
    float_runner,
)
from slimai.app.float_pass.work import CalibrationWork, OpenWork, ReferenceWork
from slimai.app.opening.batch_sizes import float_batch, integer_batch
from slimai.app.opening.content_keys import graph_hash, preprocessing_key
from slimai.app.opening.job import Job
from slimai.artifacts.cache import Cache
from slimai.artifacts.spill import Spill, slices
from slimai.calibration.collect import collect
from slimai.calibration.statistics import Statistics, statistics_key
from slimai.quantizer.rewrites.aids import AS_IT_IS, Rewrites
from slimai.search.evaluate import Validation
from slimai.search.events import Reporter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.execution.crew import Crew
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph

    Arrays = Mapping[str, NDArray[Any]]


def calibrate(
    job: Job,
    graph: Graph,
    cache: Cache,
    reporter: Reporter,
    *,
    rewrites: Rewrites = AS_IT_IS,
    crew: Crew | None = None,
    seen: Statistics | None = None,
) -> Statistics:
    """Return the statistics of all quantized activations over the calibration images, from the cache if it has them.

    seen: those of the first images, where they are known already.

    rewrites: which of the job's networks `graph` is, for the workers of `crew`, which may take part of the pass.
    """
    bins = job.config.quantization.bins
    network = graph_hash(graph)
    key = statistics_key(network, preprocessing_key(job), job.calibration_hash, bins)
    stats, found = cache.get(
        key,
        ".stats.npz",
        lambda: _CalibrationPass(job, graph, bins, reporter, seen).run(crew, network, rewrites),
        lambda value, path: value.save(path),
        Statistics.load,
    )
    if found:
        reporter.line(f"calibration: found in the cache ({len(job.calibration)} images)")
    result: Statistics = stats
    return result


@dataclass(frozen=True)
class _CalibrationPass:
    """The pass over all calibration images; `crew` may take those behind the first batches. seen: see `calibrate`."""

    job: Job
    graph: Graph
    bins: int
    reporter: Reporter
    seen: Statistics | None = None

    def run(self, crew: Crew | None, network: str, rewrites: Rewrites) -> Statistics:
        count, batch = len(self.job.calibration), float_batch(self.job, self.graph, self.job.calibration)
        pace = None if crew is None else crew.pace(count, batch)
        work = partial(CalibrationWork, rewrites, network, self.bins, batch)
        with self.reporter.stage("calibrate", count) as stage:
            before = self.seen if crew is None and self.seen is not None and self.seen.bins == self.bins else None
            done = 0 if before is None else before.images
            if done:
                stage.advance(done)
            if before is not None and done == count:
                return before

            def feeds() -> Iterator[Mapping[str, NDArray[Any]]]:
                for samples, arrays in _batches(self.job, self.job.calibration[done:], batch):
                    yield arrays
                    stage.advance(len(samples))
                    if pace is not None and pace.handover(OpenWork(work(0, 0))):
                        return

            names = _names(self.job)
            what = collected_tensors(self.graph)
            stats = collect(self.graph, feeds(), **what, bins=self.bins, names=names, first=done)
            stats = stats if before is None else before.merged(stats)
            if crew is None or pace is None or stats.images == count:
                return stats
            for part in crew.run(work(start, stop) for start, stop in pace.parts()):
                stats = stats.merged(part)
                stage.advance(part.images)
            return stats


def reference(job: Job, folder: Path, reporter: Reporter, *, crew: Crew | None = None) -> Validation:
    """Return the validation set with its inputs and reference outputs spilled to `folder`.

    The workers of `crew` may compute part of it.
    """
    run = float_runner(job)
    count = len(job.validation)
    even = not job.preprocess.uneven(job.validation)
    inputs, outputs = (Spill(folder / name, count, even=even) for name in ("inputs", "reference"))
    placed: list[Sample] = []
    batch = float_batch(job, job.graph, job.validation)
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
    return Validation(tuple(placed), inputs, outputs, job.outputs, integer_batch(job.graph) if even else 1)
