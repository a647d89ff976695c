"""What a worker does: it opens the job once, then runs whatever work it is handed, in any process or Ray actor."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slimai.artifacts.lock import RUN
from slimai.data.sample import Sample
from slimai.errors import SlimaiError
from slimai.search.evaluate import Validation
from slimai.search.units import Measured, Unit, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.programs import Programs
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.aids import Rewrites

    Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class WorkerSpec:
    """All that a process needs to open the job: plain values, no live objects.

    config: JSON of the validated configuration. output: the run's folder. holder: text of its lock file, by which a
    worker knows that it sees the same folder. cache: folder with the calibration statistics. spill: folder with the
    preprocessed images and float outputs. memory_limit: bytes a worker.
    """

    config: str
    output: Path
    holder: str
    cache: Path
    spill: Path
    calibration: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    memory_limit: int


class Work(Protocol):
    """Something a worker can do: a plain value that other processes and machines can be sent."""

    def run(self, worker: Worker) -> Any:
        """Return the result, a plain value too."""
        ...


class Opener:
    """A worker that opens the job with its first work, so that what is wrong reaches the caller; one a process.

    stopped: says when nobody waits for its work any more.
    """

    def __init__(self, spec: WorkerSpec, stopped: Callable[[], bool] = lambda: False) -> None:
        self._spec = spec
        self._stopped = stopped
        self._worker: Worker | None = None

    def do(self, work: Work) -> Any:
        """Return the result of the work."""
        if self._worker is None:
            self._check_shared()
            self._worker = Worker(self._spec, self._stopped)
        return work.run(self._worker)

    def _check_shared(self) -> None:
        try:
            holder = (self._spec.output / RUN).read_text(encoding="utf-8")
        except OSError:
            holder = ""
        if holder != self._spec.holder:
            raise SlimaiError(
                f"path.output_dir: a node ({socket.gethostname()}) does not see {self._spec.output}; "
                "put path.output_dir and path.tmp_dir on a disk that all nodes share"
            )


class Worker:
    """An opened job: measures units of the search, and takes parts of the float passes."""

    def __init__(self, spec: WorkerSpec, stopped: Callable[[], bool] = lambda: False) -> None:
        from slimai.app.float_pass import calibrate
        from slimai.app.prepare import reopen
        from slimai.app.quantize import quantizer_for
        from slimai.artifacts.cache import Cache
        from slimai.search.events import Silent

        self._spec = spec
        self._stopped = stopped
        self.job = reopen(spec.config, spec.calibration, spec.validation)
        self.quantizer = quantizer_for(
            self.job, lambda graph, _: calibrate(self.job, graph, Cache(spec.cache), Silent(), threads=1), threads=1
        )
        self._samples = list(spec.validation)
        self._search: tuple[Programs, Validation] | None = None
        self.float_passes: dict[str, Any] = {}  # the session of the pass that runs now, by its name

    def measure(self, item: UnitWork) -> Measured:
        """Return the records of a unit."""
        self.float_passes.clear()  # the search has begun
        for index, sample in zip(item.unit.indices, item.samples, strict=True):
            self._samples[index] = sample
        if self._search is None:
            self._search = self._opened(item)
        programs, validation = self._search
        unit = item.received()
        return measure(unit, programs.runner, validation, self.job.metric, stopped=self._stopped)

    def _opened(self, item: UnitWork) -> tuple[Programs, Validation]:
        """Return what the search needs; names and edits are the same in all its units."""
        from slimai.app.programs import Programs
        from slimai.artifacts.spill import Spill

        programs = Programs(replace(self.quantizer, edits=item.edits), self._spec.memory_limit)
        count = len(self._samples)
        inputs = Spill.opened(self._spec.spill / "inputs", count, item.inputs)
        outputs = Spill.opened(self._spec.spill / "reference", count, item.outputs)
        return programs, Validation(self._samples, inputs, outputs, self.job.outputs, item.batch)


@dataclass(frozen=True)
class UnitWork:
    """A unit of the search; `at` is the wall-clock time of its sending, which processes and machines share.

    samples: the unit's, with their geometry. inputs, outputs: the names of the spilled arrays, in order. batch: images
    a run. edits: limits by tensor that a person has set.
    """

    unit: Unit
    at: float
    samples: tuple[Sample, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch: int
    edits: Mapping[str, tuple[float, float]]

    @classmethod
    def sent(cls, unit: Unit, validation: Validation, edits: Mapping[str, tuple[float, float]]) -> UnitWork:
        """Return the unit, marked with the time of this moment."""
        samples = tuple(validation.samples[index] for index in unit.indices)
        names = (validation.inputs.names, validation.reference.names)
        return cls(unit, time.time(), samples, *names, validation.batch, dict(edits))

    def received(self) -> Unit:
        """Return the unit with the time that is left of its seconds: those it has waited count."""
        if self.unit.seconds is None:
            return self.unit
        waited = max(0.0, time.time() - self.at)
        return replace(self.unit, seconds=max(0.0, self.unit.seconds - waited))

    def run(self, worker: Worker) -> Measured:
        """Return the records."""
        return worker.measure(self)


@dataclass(frozen=True)
class CalibrationWork:
    """The calibration images start (included) to stop (excluded), whole batches of `batch` of one float network.

    rewrites: which of the networks; network: its hash, because the statistics must be those of the same bits.
    """

    rewrites: Rewrites
    network: str
    bins: int
    batch: int
    start: int
    stop: int

    def run(self, worker: Worker) -> Statistics:
        """Return the statistics of these images."""
        from slimai.app.float_pass import collect_part

        graph, session = self.opened(worker)
        images = slice(self.start, self.stop)
        return collect_part(worker.job, graph, images, bins=self.bins, batch=self.batch, runner=session)

    def opened(self, worker: Worker) -> Any:
        """Return the network and its session, opened now or with an earlier part."""
        from slimai.app.float_pass import collected_tensors
        from slimai.calibration.collect import activations_runner

        if self.network not in worker.float_passes:
            graph = self._graph(worker)
            tensors = collected_tensors(graph)["tensors"]
            worker.float_passes = {self.network: (graph, activations_runner(graph, tensors))}
        return worker.float_passes[self.network]

    def _graph(self, worker: Worker) -> Any:
        from slimai.app.float_pass import graph_hash

        graph = worker.quantizer.networks.graph(self.rewrites)
        if graph_hash(graph) != self.network:
            raise SlimaiError(
                f"network.input_model: a worker ({socket.gethostname()}) opens another network than the main process "
                f"from {worker.job.config.network.input_model}; give all nodes the same file"
            )
        return graph


@dataclass(frozen=True)
class ReferenceWork:
    """The validation images start (included) to stop (excluded), one batch of the reference pass."""

    start: int
    stop: int

    def run(self, worker: Worker) -> tuple[Sequence[Sample], Arrays, Arrays]:
        """Return the samples with their geometry, inputs and reference outputs."""
        from slimai.data.loader import iter_batches

        part = worker.job.validation[self.start : self.stop]
        samples, arrays = next(iter_batches(part, worker.job.preprocess, len(part), threads=1))
        return samples, arrays, dict(self.opened(worker)(arrays))

    def opened(self, worker: Worker) -> Any:
        """Return what computes the reference, opened now or with an earlier part."""
        from slimai.app.float_pass import float_runner

        if "reference" not in worker.float_passes:
            worker.float_passes = {"reference": float_runner(worker.job, threads=1)}
        return worker.float_passes["reference"]


@dataclass(frozen=True)
class OpenWork:
    """Nothing but the opening that some work of a float pass needs, so that the work itself begins at once."""

    work: CalibrationWork | ReferenceWork

    def run(self, worker: Worker) -> None:
        """Open the job, and the session of the pass."""
        self.work.opened(worker)


def machine() -> str:
    """Return what decides the last bits of a float pass here: the processor's kind and ONNX Runtime's version."""
    import onnxruntime

    wanted = ("model name", "flags", "Features", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        lines = [platform.processor()]
    kind = [line for line in lines if line.startswith(wanted)] or lines
    return "\n".join((platform.machine(), *kind, onnxruntime.__version__))
