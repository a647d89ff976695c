"""The main job: the vendor's four stages in order, the best so far always on disk."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slimai.app.candidates.choose import candidates, quantizer_for
from slimai.app.candidates.memory_limit import default_memory_limit, passed_limit, peak_bytes, worker_share
from slimai.app.candidates.programs import Planned, Programs
from slimai.app.delivery.deliver import Delivery
from slimai.app.delivery.inspection import Inspection
from slimai.app.float_pass.notes import float_warnings, reference_note
from slimai.app.float_pass.shared import calibrate, reference
from slimai.app.opening.content_keys import changed_parts, content_keys
from slimai.app.opening.job import Job
from slimai.app.opening.open_job import prepare
from slimai.app.run.adjusting import adjust_path, read_edits, read_network, report_lines, write_file
from slimai.app.run.auto_mix import auto_mix
from slimai.app.run.result import RunResult
from slimai.app.run.winner_bias import correct_winner
from slimai.artifacts.atomic import remove_partial
from slimai.artifacts.cache import Cache
from slimai.artifacts.journal import Journal
from slimai.artifacts.lock import RUN, run_lock
from slimai.errors import SlimaiError
from slimai.metrics.scores import require_score
from slimai.schema.root import SlimaiConfig
from slimai.search.events import Reporter, Silent
from slimai.search.loop import INTERRUPTED, SearchSetup, SearchState, search
from slimai.search.stopwatch import Stopwatch
from slimai.search.units import Executor, Inline

if TYPE_CHECKING:
    from slimai.app.execution.crew import Crew
    from slimai.app.run.worker import WorkerSpec
    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.metrics.base import Result
    from slimai.quantizer.rewrites.aids import Rewrites
    from slimai.search.evaluate import Validation

T = TypeVar("T")
STATE_DIR = ".slimai"


def run_job(config: SlimaiConfig, *, reporter: Reporter | None = None) -> RunResult:
    """Run the stages of a validated configuration and return what was found.

    Raises InputError before anything is written when model, images or labels are wrong.
    """
    started = time.monotonic()
    say = reporter or Silent()
    job = prepare(config)
    for warning in job.warnings:
        say.warn(str(warning))
    try:
        with run_lock(config.path.output_dir):
            remove_partial(config.path.output_dir, leave=_of_others)
            return _Run(job, say, started).execute()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SlimaiError(
            f"{error.filename or config.path.output_dir}: {error.strerror}; "
            "free some space and run again: what is finished is kept"
        ) from error


def _of_others(folder: Path) -> bool:
    """Return whether other runs may write below: a job's own folder, and caches."""
    return folder.name == ".cache" or (folder / RUN).exists()


class _Run:
    """One run: the stages share the clock, the folders and the delivery of files."""

    def __init__(self, job: Job, reporter: Reporter, started: float) -> None:
        self.job = job
        self.reporter = reporter
        self.output = job.config.path.output_dir
        self.state_dir = self.output / STATE_DIR
        self.cache = Cache(job.config.path.tmp_dir or self.output / ".cache")
        self.threads = 1
        self.seconds: dict[str, float] = {}
        self.crew = self._crew()
        self.keys = content_keys(job, {})
        self.journal = self._journal()
        limit = job.config.search.time_limit
        self.watch = Stopwatch(self.journal, self.keys.plan, limit=limit, started=started)
        self.plain = quantizer_for(job, self._calibrate, self.threads)
        self.networks = self.plain.networks
        self.quantizer = self.plain
        self.delivery = Delivery(job, self.quantizer, self.seconds)
        self.inspection = Inspection(job, self.delivery, self.quantizer, reporter)

    def execute(self) -> RunResult:
        """Run the stages; workers do not outlive them."""
        try:
            return self._stages()
        finally:
            if self.crew is not None:
                self.crew.close()

    def _stages(self) -> RunResult:
        stages = self.job.config.stages
        self._counted(
            "calibration",
            lambda: self.networks.get(self.plain.aids(candidates(self.job.config)[0]).rewrites),
        )
        for line in (*reference_note(self.job), *self.job.mix.lines):
            self.reporter.line(line)
        self._read_edits()
        self._tell_changes()
        self.delivery.network(self.job.graph)
        self.inspection.start()
        if "flt_inference" not in stages:
            return self._profiles_only()
        validation = self._counted("float_inference", self._reference)
        float_result = self._timed("float_metric", lambda: self._float_metric(validation))
        self.delivery.float_result = float_result
        auto = self.job.config.quantization.mix == "auto"
        require_score(self.job.metric, float_result, 2 if auto else len(candidates(self.job.config)))
        for warning in float_warnings(self.job, float_result):
            self.reporter.warn(str(warning))
        if "use_quant_profile" not in stages:
            self.delivery.results(SearchState())
            return self._result(float_result, SearchState())
        state = self._counted("search", lambda: self._search(validation))
        if state.cut_short == INTERRUPTED and state.best is None:
            raise KeyboardInterrupt
        self._timed("gen_code", lambda: self.delivery.finish(state))
        self._adjust(validation, state)
        self.watch.mark("gen_code")
        self._timed("report", lambda: self.inspection.finish(validation, state))
        self.watch.mark("report")
        passed = passed_limit(self.job.config.search.memory_limit, peak_bytes())
        if passed:
            self.reporter.warn(passed)
        validation.inputs.close()
        validation.reference.close()
        result = self._result(float_result, state)
        if state.cut_short == INTERRUPTED:
            raise KeyboardInterrupt
        return result

    def _timed(self, name: str, step: Callable[[], T]) -> T:
        before = time.monotonic()
        value = step()
        self.seconds[name] = round(time.monotonic() - before, 3)
        return value

    def _counted(self, name: str, step: Callable[[], T]) -> T:
        """Do a step whose time counts against `time_limit`; delivery and report come on top."""
        value = self._timed(name, step)
        self.watch.keep(name)
        return value

    def _reference(self) -> Validation:
        spill = self.state_dir / "spill"
        return reference(self.job, spill, self.reporter, threads=self.threads, crew=self.crew)

    def _calibrate(self, graph: Graph, rewrites: Rewrites) -> Statistics:
        return calibrate(
            self.job,
            graph,
            self.cache,
            self.reporter,
            threads=self.threads,
            rewrites=rewrites,
            crew=self.crew,
        )

    def _float_metric(self, validation: Validation) -> Result:
        from slimai.search.evaluate import batches, measure_batch

        records = []
        for indices in batches(range(len(validation.samples)), validation.batch):
            outputs = validation.reference.pick(indices)
            records.extend(measure_batch(self.job.metric, validation, indices, outputs))
        return self.job.metric.combine(records)

    def _search(self, validation: Validation) -> SearchState:
        setup = self._setup(validation)
        limit = self.job.config.search.memory_limit or default_memory_limit()
        state = search(setup)
        try:
            if self.job.config.quantization.mix == "auto":
                float_result = self.delivery.float_result
                score = None if float_result is None else float_result.score
                state = auto_mix(self.quantizer, setup, state, score, limit)
            return correct_winner(self.quantizer, setup, state, self.delivery.choice(state).delivered, limit)
        except KeyboardInterrupt:
            return SearchState(state.outcomes, INTERRUPTED)

    def _setup(self, validation: Validation) -> SearchSetup:
        settings = self.job.config.search
        planned = Planned(self.quantizer)
        return SearchSetup(
            candidates=candidates(self.job.config),
            prepare=planned.prepare,
            executor=self._executor(validation, planned),
            validation=validation,
            metric=self.job.metric,
            score_key=self.keys.score,
            plan_key=self.keys.plan,
            journal=self.journal,
            records_dir=self.state_dir / "records",
            reporter=self.reporter,
            network=self.job.config.network.name,
            watch=self.watch,
            strategy=settings.strategy,
            tolerance=settings.tolerance,
            seed=settings.seed,
            on_outcome=self.delivery.progress,
        )

    def _executor(self, validation: Validation, planned: Planned) -> Executor:
        if self.crew is None:
            limit = self.job.config.search.memory_limit or default_memory_limit()
            programs = Programs(planned.take, limit, warn=self.reporter.warn, spare=self._spare(planned))
            return Inline(programs.runner, validation, self.job.metric, release=programs.clear)
        from slimai.app.run.worker import CrewExecutor

        return CrewExecutor(self.crew, validation, self.quantizer.edits)

    def _spare(self, planned: Planned) -> Callable[[], None]:
        """Return what forgets plans that wait and weights that no program holds."""

        def spare() -> None:
            planned.clear()
            self.quantizer.store.clear()
            self.quantizer.pool.clear()

        return spare

    def _crew(self) -> Crew | None:
        """Return the workers that the settings ask for, not yet started, or None for this process alone."""
        settings = self.job.config.search
        if settings.workers == 1 and settings.executor == "processes":
            return None
        from slimai.app.execution.crew import Crew

        return Crew(self._worker_spec, settings, self.reporter, due="use_quant_profile" in self.job.config.stages)

    def _worker_spec(self) -> WorkerSpec:
        from slimai.app.run.worker import WorkerSpec

        settings = self.job.config.search
        limit = settings.memory_limit or default_memory_limit()
        own = settings.executor == "processes"  # Ray's actors may have machines of their own
        share = worker_share(limit, settings.workers, self.reporter.warn) if own else limit // settings.workers
        return WorkerSpec(
            config=self.job.config.model_dump_json(by_alias=True),
            output=self.output,
            holder=(self.output / RUN).read_text(encoding="utf-8"),
            cache=self.cache.folder,
            spill=self.state_dir / "spill",
            calibration=self.job.calibration,
            validation=self.job.validation,
            memory_limit=share,
        )

    def _journal(self) -> Journal:
        """Return the journal, without what earlier runs have left when they are not to be continued."""
        journal = Journal(self.state_dir / "journal.jsonl")
        if not self.job.config.search.resume:
            journal.path.unlink(missing_ok=True)
            shutil.rmtree(self.state_dir / "records", ignore_errors=True)
        return journal

    def _tell_changes(self) -> None:
        """Say why earlier results do not count when something has changed, and note what this run depends on."""
        changed = changed_parts(self.journal, self.keys)
        if changed:
            self.reporter.line(f"earlier results do not count: {', '.join(changed)} changed")
        self.journal.append({"parts": self.keys.parts})

    def _read_edits(self) -> None:
        """Take the limits that a person has edited, where the job has one candidate."""
        single = candidates(self.job.config)
        if not self.job.config.metric.adjust or len(single) != 1:
            return
        path = adjust_path(self.output, self.job.config.network.name)
        edits = read_edits(self.plain, single[0], path)
        if edits:
            self.quantizer = replace(self.plain, edits=edits)
            self.keys = content_keys(self.job, edits)
            self.delivery = Delivery(self.job, self.quantizer, self.seconds)
            self.inspection = Inspection(self.job, self.delivery, self.quantizer, self.reporter)

    def _adjust(self, validation: Validation, state: SearchState) -> None:
        """Write the file to edit for what is delivered, or tell what its edits did."""
        delivered = self.delivery.choice(state).delivered
        if not self.job.config.metric.adjust or delivered is None:
            return
        path = adjust_path(self.output, self.job.config.network.name)
        before = self.plain(delivered.candidate)
        if not self.quantizer.edits:
            if write_file(before, self.plain, path):
                self.reporter.line(f"adjust: edit Min and Max in {path} and run again with the same level and range")
            return
        from slimai.quantizer.adjust import changed_parameters

        after = self.quantizer(delivered.candidate)
        readings = [read_network(item.runner(), validation, self.job.metric) for item in (before, after)]
        for line in report_lines(changed_parameters(before.plan, after.plan), *readings):
            self.reporter.line(line)

    def _profiles_only(self) -> RunResult:
        for candidate in candidates(self.job.config):
            self.delivery.profile(self.quantizer(candidate))
        self.delivery.results(SearchState())
        return self._result(None, SearchState())

    def _result(self, float_result: Result | None, state: SearchState) -> RunResult:
        self.delivery.timings()
        return RunResult(
            output_dir=self.output,
            network=self.job.config.network.name,
            float_result=float_result,
            candidates=tuple(state.outcomes),
            choice=self.delivery.choice(state),
            cut_short=state.cut_short,
            host_layers=self.delivery.host_layers,
            seconds=dict(self.seconds),
        )
