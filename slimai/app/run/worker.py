"""The job, opened in another process, and the units of the search that are sent there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from slimai.app.candidates.choose import quantizer_for
from slimai.app.candidates.programs import Programs
from slimai.app.candidates.verdicts import KeptVerdicts
from slimai.app.float_pass.shared import calibrate
from slimai.app.float_pass.weight_rounding import WeightRounding
from slimai.app.opening.open_job import reopen
from slimai.artifacts.cache import Cache
from slimai.artifacts.lock import RUN
from slimai.artifacts.spill import Spill
from slimai.data.sample import Sample
from slimai.errors import SlimaiError
from slimai.search.evaluate import Validation
from slimai.search.events import Silent
from slimai.search.units import Measured, Unit, measure


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

    def open(self, stopped: Callable[[], bool]) -> Worker:
        """Return the job, opened here; SlimaiError where this node does not see the run's folder."""
        self._check_shared()
        return Worker(self, stopped)

    def seen(self) -> bool:
        """Return whether this machine sees the run's folder."""
        try:
            return (self.output / RUN).read_text(encoding="utf-8") == self.holder
        except OSError:
            return False

    def _check_shared(self) -> None:
        if not self.seen():
            raise SlimaiError(
                f"path.output_dir: a node ({socket.gethostname()}) does not see {self.output}; "
                "put path.output_dir and path.tmp_dir on a disk that all nodes share"
            )


class Worker:
    """An opened job: measures units of the search, and takes parts of the float passes."""

    def __init__(self, spec: WorkerSpec, stopped: Callable[[], bool] = lambda: False) -> None:
        self._spec = spec
        self._stopped = stopped
        self.job = reopen(spec.config, spec.calibration, spec.validation)
        cache, scratch = Cache(spec.cache), spec.spill.parent / f"rounding-{os.getpid()}"
        self.quantizer = quantizer_for(
            self.job,
            lambda graph, _: calibrate(self.job, graph, cache, Silent()),
            WeightRounding(self.job, cache, scratch, Silent()),
            KeptVerdicts(self.job, cache),
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
    machine_bits: ClassVar[bool] = False

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
