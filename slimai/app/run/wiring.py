"""What a run is built from beside its stages: folders, cache, journal, workers, and what runs candidates."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from slimai.app.candidates.memory_limit import default_memory_limit, worker_share
from slimai.app.candidates.programs import Planned, Programs
from slimai.app.candidates.quantizer import Quantizer
from slimai.app.execution.crew import Crew
from slimai.app.opening.job import Job
from slimai.app.run.carried import JobCarrier
from slimai.app.run.crew_executor import CrewExecutor
from slimai.app.run.worker import WorkerSpec
from slimai.artifacts.cache import Cache
from slimai.artifacts.journal import Journal
from slimai.artifacts.lock import RUN
from slimai.search.evaluate import Validation
from slimai.search.events import Reporter
from slimai.search.race import image_order
from slimai.search.units import Executor, Inline

STATE_DIR = ".slimai"


class Wiring:
    """The parts that the stages of one run share; each is made once, on first use."""

    def __init__(self, job: Job, reporter: Reporter) -> None:
        self._job = job
        self._reporter = reporter
        self.output: Path = job.config.path.output_dir
        self.state_dir = self.output / STATE_DIR
        self.spill = self.state_dir / "spill"
        self.scratch = self.state_dir / "rounding"
        self.cache = Cache(job.config.path.tmp_dir or self.output / ".cache")

    @cached_property
    def memory_limit(self) -> int:
        """The bytes that candidates may hold together."""
        return self._job.config.search.memory_limit or default_memory_limit()

    @cached_property
    def journal(self) -> Journal:
        """The journal, without what earlier runs have left when they are not to be continued."""
        journal = Journal(self.state_dir / "journal.jsonl")
        if not self._job.config.search.resume:
            journal.path.unlink(missing_ok=True)
            shutil.rmtree(self.state_dir / "records", ignore_errors=True)
        return journal

    @cached_property
    def crew(self) -> Crew | None:
        """The workers that the settings ask for, not yet started, or None for this process alone."""
        settings = self._job.config.search
        if settings.workers == 1 and settings.executor == "processes":
            return None
        due = "use_quant_profile" in self._job.config.stages
        return Crew(self._worker_spec, settings, self._reporter, due=due, carrier=self.carrier)

    @cached_property
    def carrier(self) -> JobCarrier | None:
        """What makes the works of nodes that do not see this run's files; None where all workers are of this machine.

        It is told the networks, plans and images of the run once they are made.
        """
        settings, images = self._job.config.search, len(self._job.validation)
        if settings.executor == "processes":
            return None
        order = image_order(images, settings.seed) if settings.strategy == "racing" else range(images)
        return JobCarrier(self._job, self.memory_limit // settings.workers, order)

    def _worker_spec(self) -> WorkerSpec:
        settings = self._job.config.search
        own = settings.executor == "processes"  # Ray's actors may have machines of their own
        return WorkerSpec(
            config=self._job.config.model_dump_json(by_alias=True),
            output=self.output,
            holder=(self.output / RUN).read_text(encoding="utf-8"),
            cache=self.cache.folder,
            spill=self.spill,
            calibration=self._job.calibration,
            validation=self._job.validation,
            memory_limit=worker_share(self.memory_limit, settings.workers, self._reporter.warn)
            if own
            else self.memory_limit // settings.workers,
        )

    def executor(self, validation: Validation, planned: Planned, quantizer: Quantizer) -> Executor:
        """Return what runs the units of the search: this process, or the workers."""
        edits: Mapping[str, tuple[float, float]] = quantizer.edits
        if self.carrier is not None:
            self.carrier.planned, self.carrier.validation = planned, validation
        if self.crew is not None:
            return CrewExecutor(self.crew, validation, edits)
        programs = Programs(planned.take, self.memory_limit, warn=self._reporter.warn, spare=_spare(planned, quantizer))
        return Inline(programs.runner, validation, self._job.metric, release=programs.clear)

    def close(self) -> None:
        """Stop the workers: they do not outlive the run."""
        if self.crew is not None:
            self.crew.close()


def _spare(planned: Planned, quantizer: Quantizer) -> Callable[[], None]:
    """Return what forgets plans that wait and weights that no program holds."""

    def spare() -> None:
        planned.clear()
        quantizer.store.clear()
        quantizer.pool.clear()

    return spare
