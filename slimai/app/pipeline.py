"""The main job: the vendor's four stages in order, the best so far always on disk."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.deliver import Delivery
from slimai.app.float_pass import calibrate, graph_hash, preprocessing_key, reference
from slimai.app.prepare import Job, prepare
from slimai.app.quantize import Quantizer, candidates
from slimai.artifacts.cache import Cache, content_key, hash_files
from slimai.artifacts.journal import Journal
from slimai.artifacts.lock import run_lock
from slimai.schema.root import SlimaiConfig
from slimai.search.candidate import Outcome
from slimai.search.events import Reporter, Silent
from slimai.search.loop import SearchSetup, SearchState, search

if TYPE_CHECKING:
    from slimai.calibration.statistics import Statistics
    from slimai.metrics.base import Result
    from slimai.search.evaluate import Validation

STATE_DIR = ".slimai"


@dataclass(frozen=True)
class RunResult:
    """What a run found. `candidates` has one outcome a candidate; `best` is None when none was scored."""

    output_dir: Path
    network: str
    float_result: Result | None
    candidates: tuple[Outcome, ...] = ()
    cut_short: str = ""
    host_layers: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Outcome | None:
        """The best fully scored outcome."""
        from slimai.search.candidate import best

        return best(self.candidates)

    @property
    def score(self) -> float | None:
        """The score of the best outcome."""
        return None if self.best is None else self.best.score


def run_job(config: SlimaiConfig, *, reporter: Reporter | None = None) -> RunResult:
    """Run the stages of a validated configuration and return what was found.

    Raises InputError before anything is written when model, images or labels are wrong.
    """
    started = time.monotonic()
    say = reporter or Silent()
    job = prepare(config)
    for warning in job.warnings:
        say.warn(str(warning))
    with run_lock(config.path.output_dir):
        return _Run(job, say, started).execute()


class _Run:
    """One run: the stages share the clock, the folders and the delivery of files."""

    def __init__(self, job: Job, reporter: Reporter, started: float) -> None:
        self.job = job
        self.reporter = reporter
        self.started = started
        self.output = job.config.path.output_dir
        self.state_dir = self.output / STATE_DIR
        self.cache = Cache(job.config.path.tmp_dir or self.output / ".cache")
        self.threads = 1
        self.seconds: dict[str, float] = {}
        self.delivery = Delivery(job, self.seconds)

    def execute(self) -> RunResult:
        stages = self.job.config.stages
        self.delivery.network(self.job.graph)
        stats = self._timed("calibration", self._calibrate)
        quantizer = Quantizer(self.job, self.job.graph, stats, self.threads)
        self.delivery.start(quantizer, stats)
        if "flt_inference" not in stages:
            return self._profiles_only(quantizer)
        validation = self._timed("float_inference", self._reference)
        float_result = self._timed("float_metric", lambda: self._float_metric(validation))
        self.delivery.float_result = float_result
        if "use_quant_profile" not in stages:
            self.delivery.results(SearchState())
            return self._result(float_result, SearchState())
        state = self._timed("search", lambda: self._search(quantizer, validation))
        self._timed("gen_code", lambda: self.delivery.finish(state))
        validation.inputs.close()
        validation.reference.close()
        return self._result(float_result, state)

    def _timed(self, name: str, step: Any) -> Any:
        before = time.monotonic()
        value = step()
        self.seconds[name] = round(time.monotonic() - before, 3)
        return value

    def _calibrate(self) -> Statistics:
        return calibrate(self.job, self.job.graph, self.cache, self.reporter, threads=self.threads)

    def _reference(self) -> Validation:
        return reference(self.job, self.state_dir / "spill", self.reporter, threads=self.threads)

    def _float_metric(self, validation: Validation) -> Result:
        from slimai.search.evaluate import batches, measure_batch

        records = []
        for indices in batches(range(len(validation.samples)), validation.batch):
            outputs = validation.reference.pick(indices)
            records.extend(measure_batch(self.job.metric, validation, indices, outputs))
        return self.job.metric.combine(records)

    def _search(self, quantizer: Quantizer, validation: Validation) -> SearchState:
        settings = self.job.config.search
        return search(
            SearchSetup(
                candidates=candidates(self.job),
                prepare=quantizer,
                validation=validation,
                metric=self.job.metric,
                content_key=self._content_key(),
                journal=self._journal(resume=settings.resume),
                records_dir=self.state_dir / "records",
                reporter=self.reporter,
                network=self.job.config.network.name,
                strategy=settings.strategy,
                tolerance=settings.tolerance,
                seed=settings.seed,
                deadline=None if settings.time_limit is None else self.started + settings.time_limit,
                on_outcome=self.delivery.results,
            )
        )

    def _journal(self, *, resume: bool) -> Journal:
        journal = Journal(self.state_dir / "journal.jsonl")
        if not resume:
            journal.path.unlink(missing_ok=True)
        return journal

    def _content_key(self) -> str:
        """Hash of what decides a score besides the integer parameters."""
        from slimai import __version__

        config = self.job.config
        return content_key(
            __version__,
            graph_hash(self.job.graph),
            preprocessing_key(self.job),
            hash_files(file for sample in self.job.validation for file in sample.files),
            [sample.labels for sample in self.job.validation],
            config.metric.model_dump(mode="json"),
            config.target.model_dump(mode="json"),
        )

    def _profiles_only(self, quantizer: Quantizer) -> RunResult:
        for candidate in candidates(self.job):
            self.delivery.profile(quantizer(candidate))
        self.delivery.results(SearchState())
        return self._result(None, SearchState())

    def _result(self, float_result: Result | None, state: SearchState) -> RunResult:
        self.delivery.timings()
        return RunResult(
            output_dir=self.output,
            network=self.job.config.network.name,
            float_result=float_result,
            candidates=tuple(state.outcomes),
            cut_short=state.cut_short,
            host_layers=self.delivery.host_layers,
            seconds=dict(self.seconds),
        )
