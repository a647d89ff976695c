"""The works of a job for workers that do not see its files: values in the place of files.

What the main process knows is not worked out again on such a worker. It gets the plan of a candidate, made from the
statistics of the calibration pass, and blocks of the preprocessed images; for its part of a float pass it gets the
image files as they are, which are smaller than what becomes of them.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from slimai.app.candidates.choose import quantizer_for
from slimai.app.candidates.programs import Programs
from slimai.app.candidates.quantizer import QuantizedCandidate
from slimai.app.candidates.stored_quantizer import no_statistics
from slimai.app.float_pass.local import collect_part, collected_tensors
from slimai.app.float_pass.work import CalibrationWork, OpenWork, ReferenceWork
from slimai.app.run.worker import UnitWork
from slimai.calibration.collect import activations_runner
from slimai.data.loader import iter_batches
from slimai.errors import InputError, SlimaiError
from slimai.metrics.plugin import find_plugin
from slimai.schema.metric import METRICS
from slimai.search.evaluate import Validation
from slimai.search.units import Measured, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.candidates.float_networks import FloatNetworks
    from slimai.app.candidates.programs import Planned
    from slimai.app.candidates.quantizer import Quantizer
    from slimai.app.execution.work import Handle, Share, Work
    from slimai.app.opening.job import Job
    from slimai.calibration.statistics import Statistics
    from slimai.data.sample import Sample
    from slimai.quantizer.plan import QuantPlan
    from slimai.search.candidate import Candidate
    from slimai.search.evaluate import ImageArrays

    Arrays = dict[str, NDArray[Any]]
    Files = tuple[tuple[bytes, ...], ...]  # of samples

T = TypeVar("T")
BLOCK_BYTES = 8 << 20  # of preprocessed images that are sent together
CURE = "put path.output_dir and path.tmp_dir on a disk that all nodes share"


@dataclass
class JobCarrier:
    """Makes, in the main process, what such workers get of a job. What is put for all is put when first needed.

    memory_limit: bytes a worker. order: the images in the order in which the search visits them. networks, planned,
    validation: the float networks, the plans of the search and the images it is scored on, once there are any.
    """

    job: Job
    memory_limit: int
    order: Sequence[int]
    networks: FloatNetworks | None = None
    planned: Planned | None = None
    validation: Validation | None = None
    _graphs: dict[str, Handle] = field(default_factory=dict)
    _plans: dict[Candidate, Handle] = field(default_factory=dict)
    _blocks: dict[tuple[str, int], Handle] = field(default_factory=dict)
    _places: dict[int, int] = field(default_factory=dict)  # image -> its place in the order

    def spec(self) -> CarriedSpec:
        """Return what opens the job without its files.

        Raises:
            SlimaiError: the metric reads files while it measures, or is a file itself.
        """
        config = self.job.config
        metric = str(config.metric.metric_cls)
        own = metric not in METRICS and find_plugin(metric, config.base_dir) is not None
        if own or len(getattr(self.job.metric, "files", ())):
            raise SlimaiError(
                f"metric.metric_cls: {metric} {'is a file that' if own else 'reads label files, which'} a node of the "
                f"Ray cluster does not see, as it does not see {config.path.output_dir}; {CURE}"
            )
        return CarriedSpec(replace(self.job, warnings=()), self.memory_limit)

    def work(self, work: Any, share: Share) -> Work:
        """Return the work with what it would read."""
        if isinstance(work, OpenWork):
            return OpenWork(self._float_work(work.work, share))
        if isinstance(work, UnitWork):
            return self._unit(work, share)
        return self._float_work(work, share)

    def _float_work(self, work: Any, share: Share) -> CarriedCalibration | CarriedReference:
        if isinstance(work, ReferenceWork):
            return CarriedReference(work, _files(self.job.validation[work.start : work.stop]))
        if work.network not in self._graphs:
            self._graphs[work.network] = share(_known(self.networks).graph(work.rewrites))
        return CarriedCalibration(
            work, self._graphs[work.network], _files(self.job.calibration[work.start : work.stop])
        )

    def _unit(self, work: UnitWork, share: Share) -> CarriedUnit:
        candidate, validation = work.unit.candidate, _known(self.validation)
        if candidate not in self._plans:
            self._plans[candidate] = share(_known(self.planned).take(candidate).plan)
        inputs = self._arrays("inputs", validation.inputs, work, share)
        reference = None
        if self.job.metric.uses_float:
            reference = self._arrays("reference", validation.reference, work, share)
        return CarriedUnit(work, self._plans[candidate], inputs, reference)

    def _arrays(self, kind: str, arrays: ImageArrays, work: UnitWork, share: Share) -> Blocks:
        """Return the arrays of a unit's images in blocks, each put when a unit first needs it."""
        self._places = self._places or {image: place for place, image in enumerate(self.order)}
        size = block_images(arrays, len(self.order))
        numbers = sorted({self._places[image] // size for image in work.unit.indices})
        found = []
        for number in numbers:
            images = self.order[number * size : (number + 1) * size]
            if (kind, number) not in self._blocks:
                self._blocks[kind, number] = share(arrays.pick(images))
            found.append(self._blocks[kind, number])
        places = tuple(self._places[image] for image in work.unit.indices)
        starts = tuple(number * size for number in numbers)
        return Blocks(arrays.names, dict(zip(work.unit.indices, places, strict=True)), starts, tuple(found))


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError("the carrier is asked before the run has told it")
    return value


def block_images(arrays: ImageArrays, images: int) -> int:
    """Return how many images a block has: about BLOCK_BYTES of them."""
    one = sum(array.nbytes for array in arrays.pick([0]).values())
    return max(1, min(images, BLOCK_BYTES // max(one, 1)))


@dataclass(frozen=True)
class Blocks:
    """Arrays of some images of a set, in blocks. places: image -> its place in the set's order; starts: a block's."""

    names: tuple[str, ...]
    places: Mapping[int, int]
    starts: tuple[int, ...]
    blocks: tuple[Handle, ...]

    def pick(self, indices: Sequence[int], names: Sequence[str] | None = None) -> Arrays:
        """Return the images with these indices, in this order, by name; a block is got when it is needed."""
        got: dict[int, Arrays] = {}
        rows = []
        for image in indices:
            place = self.places[image]
            number = bisect_right(self.starts, place) - 1
            if number not in got:
                got[number] = self.blocks[number].get()
            rows.append((number, place - self.starts[number]))
        return {name: np.stack([got[number][name][row] for number, row in rows]) for name in names or self.names}

    def close(self) -> None:
        """Do nothing: the main process has put the blocks."""


@dataclass(frozen=True)
class CarriedSpec:
    """The job itself, and the bytes that a worker may hold."""

    job: Job
    memory_limit: int

    def seen(self) -> bool:
        """Return True: there is nothing to see."""
        return True

    def open(self, stopped: Callable[[], bool]) -> CarriedWorker:
        """Return the job, opened here."""
        return CarriedWorker(self.job, self.memory_limit, stopped)


class CarriedWorker:
    """An opened job without its files."""

    def __init__(self, job: Job, memory_limit: int, stopped: Callable[[], bool]) -> None:
        self.job = job
        self.quantizer: Quantizer = quantizer_for(job, no_statistics)
        self.float_passes: dict[str, Any] = {}
        self._stopped = stopped
        self._plans: dict[Candidate, Handle] = {}
        self._samples = list(job.validation)
        self._programs = Programs(self._planned, memory_limit)

    def measure(self, item: CarriedUnit) -> Measured:
        """Return the records of a unit."""
        self.float_passes.clear()  # the search has begun
        work = item.work
        for index, sample in zip(work.unit.indices, work.samples, strict=True):
            self._samples[index] = sample
        self._plans[work.unit.candidate] = item.plan
        reference = item.reference or item.inputs  # which the metric does not look at then
        validation = Validation(self._samples, item.inputs, reference, self.job.outputs, work.batch)
        return measure(work.received(), self._programs.runner, validation, self.job.metric, stopped=self._stopped)

    def _planned(self, candidate: Candidate) -> QuantizedCandidate:
        plan: QuantPlan = copy.deepcopy(self._plans[candidate].get())  # kernels are compiled for arrays of one's own
        return QuantizedCandidate(self.quantizer, candidate, plan, no_statistics(plan.graph))


@dataclass(frozen=True)
class CarriedUnit:
    """A unit of the search with the candidate's plan, its images, and their float outputs where the metric asks."""

    work: UnitWork
    plan: Handle
    inputs: Blocks
    reference: Blocks | None
    machine_bits: ClassVar[bool] = False

    def run(self, worker: CarriedWorker) -> Measured:
        """Return the records."""
        return worker.measure(self)


@dataclass(frozen=True)
class CarriedCalibration:
    """A part of the calibration pass with its network and the files of its images."""

    work: CalibrationWork
    graph: Handle
    files: Files
    machine_bits: ClassVar[bool] = True

    def run(self, worker: CarriedWorker) -> Statistics:
        """Return the statistics of these images."""
        graph, session = self.opened(worker)
        work, images = self.work, slice(self.work.start, self.work.stop)
        with unpacked(worker.job.calibration[images], self.files) as samples:
            return collect_part(
                worker.job, graph, images, bins=work.bins, batch=work.batch, runner=session, samples=samples
            )

    def opened(self, worker: CarriedWorker) -> Any:
        """Return the network and its session, opened now or with an earlier part."""
        network = self.work.network
        if network not in worker.float_passes:
            graph = copy.deepcopy(self.graph.get())
            tensors = collected_tensors(graph)["tensors"]
            worker.float_passes = {network: (graph, activations_runner(graph, tensors))}
        return worker.float_passes[network]


@dataclass(frozen=True)
class CarriedReference:
    """A batch of the reference pass with the files of its images."""

    work: ReferenceWork
    files: Files
    machine_bits: ClassVar[bool] = True

    def run(self, worker: CarriedWorker) -> tuple[Sequence[Sample], Arrays, Arrays]:
        """Return the samples with their geometry, inputs and reference outputs."""
        own = worker.job.validation[self.work.start : self.work.stop]
        with unpacked(own, self.files) as samples:
            placed, arrays = next(iter_batches(samples, worker.job.preprocess, len(samples), threads=1))
        there = [replace(sample, files=mine.files) for sample, mine in zip(placed, own, strict=True)]
        return there, arrays, dict(self.opened(worker)(arrays))

    def opened(self, worker: CarriedWorker) -> Any:
        """Return the runner of the reference network, opened now or with an earlier part."""
        return self.work.opened(worker)


def _files(samples: Sequence[Sample]) -> Files:
    return tuple(tuple(file.read_bytes() for file in sample.files) for sample in samples)


@contextmanager
def unpacked(samples: Sequence[Sample], files: Files) -> Iterator[tuple[Sample, ...]]:
    """Lend the samples with their files in a temporary folder; what is wrong with one names the file it came from."""
    names: dict[str, str] = {}
    with TemporaryDirectory(prefix="slimai-") as folder:
        found = []
        for number, (sample, contents) in enumerate(zip(samples, files, strict=True)):
            paths = []
            for place, (file, content) in enumerate(zip(sample.files, contents, strict=True)):
                path = Path(folder) / str(number) / str(place) / file.name
                path.parent.mkdir(parents=True)
                path.write_bytes(content)
                names[str(path)] = str(file)
                paths.append(path)
            found.append(replace(sample, files=tuple(paths)))
        try:
            yield tuple(found)
        except SlimaiError as error:
            raise _renamed(error, names) from None


def _renamed(error: SlimaiError, names: Mapping[str, str]) -> SlimaiError:
    """Return the error with the files as the main process knows them."""

    def known(text: str) -> str:
        for path, file in names.items():
            text = text.replace(path, file)
        return text

    if not isinstance(error, InputError):
        return SlimaiError(known(str(error)))
    return InputError(
        replace(item, message=known(item.message), file=None if item.file is None else known(item.file))
        for item in error.diagnostics
    )
