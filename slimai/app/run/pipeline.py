"""The main job: the vendor's four stages in order, the best so far always on disk."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slimai import interrupts
from slimai.app.candidates.choose import candidates, quantizer_for
from slimai.app.candidates.join_notes import joins_note
from slimai.app.candidates.memory_limit import passed_limit, peak_bytes
from slimai.app.candidates.programs import Planned
from slimai.app.candidates.verdicts import KeptVerdicts
from slimai.app.delivery.bounds import missed_bounds
from slimai.app.delivery.deliver import Delivery, write_network
from slimai.app.delivery.inspection import Inspection, first_dumps, reference_dumps
from slimai.app.delivery.keep_earlier import begin, note_written, set_aside
from slimai.app.delivery.lock_file import write_lock
from slimai.app.delivery.stopped_page import write_verdict
from slimai.app.delivery.suggestions import suggestions
from slimai.app.float_pass.float_score import judge_float_score
from slimai.app.float_pass.notes import outputs_note, reference_note, states_note, turned_note
from slimai.app.float_pass.shared import calibrate, reference
from slimai.app.float_pass.weight_rounding import WeightRounding
from slimai.app.opening.content_keys import ContentKeys, changed_parts, content_keys
from slimai.app.opening.job import Job
from slimai.app.opening.open_job import prepare
from slimai.app.run.adjusting import adjust_delivered, read_edited
from slimai.app.run.auto_mix import auto_mix
from slimai.app.run.result import RunResult
from slimai.app.run.winner_bias import correct_winner
from slimai.app.run.winner_rounding import round_before, round_winner
from slimai.app.run.wiring import Wiring
from slimai.artifacts.atomic import remove_partial
from slimai.artifacts.lock import RUN, run_lock
from slimai.cache_folders import offer
from slimai.errors import SlimaiError
from slimai.metrics.scores import require_score
from slimai.schema.root import SlimaiConfig
from slimai.search.candidate import Outcome
from slimai.search.evaluate import Validation, batches, measure_batch
from slimai.search.events import Reporter, Silent
from slimai.search.loop import INTERRUPTED, SearchSetup, SearchState, search
from slimai.search.records import forget_records
from slimai.search.stopwatch import Stopwatch

if TYPE_CHECKING:
    from slimai.app.candidates.float_networks import FloatNetworks
    from slimai.app.candidates.quantizer import Quantizer
    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.metrics.base import Result
    from slimai.quantizer.rewrites.aids import Rewrites

T = TypeVar("T")


def run_job(config: SlimaiConfig, *, reporter: Reporter | None = None) -> RunResult:
    """Run the stages of a validated configuration and return what was found.

    Raises InputError before anything is written when model, images or labels are wrong.
    """
    started = time.monotonic()
    say = reporter or Silent()
    offer(config.path.tmp_dir or config.path.output_dir / ".cache")
    job = prepare(config)
    for warning in job.warnings:
        say.warn(str(warning))
    try:
        with run_lock(config.path.output_dir):
            remove_partial(config.path.output_dir, leave=_of_others)
            wiring = Wiring(job, say)
            before = begin(config.path.output_dir)
            try:
                return _Run(job, say, wiring, started).stages()
            finally:
                wiring.close()
                note_written(config.path.output_dir, before)
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
    """One run: the stages in order, and the clock that times them."""

    def __init__(self, job: Job, reporter: Reporter, wiring: Wiring, started: float) -> None:
        self.job, self.reporter, self.wiring = job, reporter, wiring
        self.candidates = candidates(job.config)
        self.seconds: dict[str, float] = {}
        self.warnings: tuple[str, ...] = ()
        self.networks: FloatNetworks | None = None
        plan_key = content_keys(job, {}).plan
        self.watch = Stopwatch(wiring.journal, plan_key, limit=job.config.search.time_limit, started=started)

    def stages(self) -> RunResult:
        """Run the stages that the configuration names."""
        asked = self.job.config.stages
        verdicts = KeptVerdicts(self.job, self.wiring.cache)
        plain = quantizer_for(self.job, self._calibrate, self._rounder(), verdicts)
        self.networks = plain.networks
        if self.wiring.carrier is not None:
            self.wiring.carrier.networks = plain.networks
        self._counted("calibration", lambda: plain.networks.get(plain.aids(self.candidates[0]).rewrites))
        notes = (*reference_note(self.job), *states_note(self.job), *turned_note(self.job), *outputs_note(self.job))
        for line in (*notes, *self.job.mix.lines, *joins_note(plain, self.candidates)):
            self.reporter.line(line)
        quantizer = read_edited(self.job, plain, self.candidates)
        keys = content_keys(self.job, quantizer.edits)
        self._tell_changes(keys)
        write_network(self.job)
        first_dumps(self.job, self.reporter)
        if "flt_inference" not in asked:
            return self._profiles_only(Delivery(self.job, quantizer, self.seconds, None), quantizer)
        validation = self._counted("float_inference", self._reference)
        float_result = self._timed("float_metric", lambda: self._float_metric(validation))
        delivery = Delivery(self.job, quantizer, self.seconds, float_result)
        delivery.warnings = self.warnings
        if "use_quant_profile" not in asked:
            reference_dumps(self.job, validation)
            validation.inputs.close()
            validation.reference.close()
            return self._profiles_only(delivery, quantizer)
        state = self._counted("search", lambda: self._search(validation, quantizer, keys, delivery))
        if state.cut_short == INTERRUPTED and state.best is None:
            raise KeyboardInterrupt
        self._timed("gen_code", lambda: self._finish(delivery, state, validation))
        self._forget_records(state, delivery.choice(state).delivered)
        adjust_delivered(plain, quantizer, validation, delivery.choice(state).delivered, self.reporter)
        self.watch.mark("gen_code")
        inspection = Inspection(self.job, delivery, quantizer, self.reporter, self.wiring.memory_limit)
        self._timed("report", lambda: inspection.finish(validation, state))
        self.watch.mark("report")
        passed = passed_limit(self.job.config.search.memory_limit, peak_bytes())
        if passed:
            self.reporter.warn(passed)
        validation.inputs.close()
        validation.reference.close()
        result = self._result(delivery, state)
        if state.cut_short == INTERRUPTED:
            raise KeyboardInterrupt
        return result

    def _finish(self, delivery: Delivery, state: SearchState, validation: Validation) -> None:
        """Write what the search ended with, and say where the exported model is not the plain one."""
        delivery.finish(state, validation)
        if delivery.export is None:
            return
        if delivery.export.refused:
            self.reporter.warn(f"{delivery.model_path}: is not delivered: {delivery.export.refused}")
        elif delivery.export.spelled_out:
            layers = ", ".join(delivery.export.spelled_out)
            self.reporter.line(
                f"{delivery.model_path.name} keeps ONNX Runtime from fusing {layers}: that changed the score"
            )

    def _forget_records(self, state: SearchState, delivered: Outcome | None) -> None:
        """Remove the records of all finished candidates but what is delivered, which runs can be compared by."""
        kept = "" if delivered is None else delivered.key
        done = {item.key for item in state.outcomes if item.status == "full"} - {kept}
        forget_records(self.wiring.state_dir / "records", done)

    def _timed(self, name: str, step: Callable[[], T]) -> T:
        interrupts.check()
        before = time.monotonic()
        value = step()
        self.seconds[name] = round(time.monotonic() - before, 3)
        return value

    def _counted(self, name: str, step: Callable[[], T]) -> T:
        """Do a step whose time counts against `time_limit`; delivery and report come on top."""
        value = self._timed(name, step)
        self.watch.keep(name)
        return value

    def _calibrate(self, graph: Graph, rewrites: Rewrites) -> Statistics:
        wiring = self.wiring
        seen = None if self.networks is None else self.networks.seen(rewrites)
        return calibrate(self.job, graph, wiring.cache, self.reporter, rewrites=rewrites, crew=wiring.crew, seen=seen)

    def _rounder(self) -> WeightRounding:
        """Return what rounds weights; the time limit ends it where nearest ones are on disk."""
        wiring = self.wiring
        several = len(self.job.config.quantization.weight_rounding) > 1
        late = (lambda: False) if several else self.watch.late
        return WeightRounding(self.job, wiring.cache, wiring.scratch, self.reporter, late, self.watch.tick)

    def _tell_changes(self, keys: ContentKeys) -> None:
        """Say why earlier results do not count when something has changed, and note what this run depends on."""
        changed = changed_parts(self.wiring.journal, keys)
        if changed:
            place = set_aside(self.wiring.output, self.job.config.path.keep)
            kept = f"; they are kept in {place}" if place else ""
            self.reporter.line(f"earlier results do not count: {', '.join(changed)} changed{kept}")
        self.wiring.journal.append({"parts": keys.parts})
        write_lock(self.job.config, keys.parts)

    def _reference(self) -> Validation:
        return reference(self.job, self.wiring.spill, self.reporter, crew=self.wiring.crew)

    def _float_metric(self, validation: Validation) -> Result:
        """Return the float network's result.

        Raises InputError where it has no score, SlimaiError where that cannot be right, with a page about it.
        """
        metric = self.job.metric
        records = []
        for indices in batches(range(len(validation.samples)), validation.batch):
            outputs = validation.reference.pick(indices)
            records.extend(measure_batch(metric, validation, indices, outputs))
        found = metric.combine(records)
        auto = self.job.config.quantization.mix == "auto"
        require_score(metric, found, 2 if auto else len(self.candidates))
        verdict = judge_float_score(self.job, records, found)
        if verdict.impossible:
            raise verdict.stop(str(write_verdict(self.job, verdict, validation)))
        self.warnings = tuple(map(str, verdict.warnings))
        for warning in self.warnings:
            self.reporter.warn(warning)
        return found

    def _search(
        self, validation: Validation, quantizer: Quantizer, keys: ContentKeys, delivery: Delivery
    ) -> SearchState:
        """Return what the search found, and what follows it: mixed precision, the winner's bias."""
        setup = self._setup(validation, quantizer, keys, delivery)
        limit = self.wiring.memory_limit
        stopped = round_before(quantizer, setup, limit)
        if stopped is not None:
            return stopped
        state = search(setup)
        try:
            if self.job.config.quantization.mix == "auto":
                float_result = delivery.float_result
                score = None if float_result is None else float_result.score
                state = auto_mix(quantizer, setup, state, score, limit)
            state = round_winner(quantizer, setup, state, delivery.choice(state).delivered, limit)
            return correct_winner(quantizer, setup, state, delivery.choice(state).delivered, limit)
        except KeyboardInterrupt:
            interrupts.answered()
            return SearchState(state.outcomes, INTERRUPTED)

    def _setup(
        self, validation: Validation, quantizer: Quantizer, keys: ContentKeys, delivery: Delivery
    ) -> SearchSetup:
        settings = self.job.config.search
        planned = Planned(quantizer)
        return SearchSetup(
            candidates=self.candidates,
            prepare=planned.prepare,
            executor=self.wiring.executor(validation, planned, quantizer),
            validation=validation,
            metric=self.job.metric,
            score_key=keys.score,
            plan_key=keys.plan,
            journal=self.wiring.journal,
            records_dir=self.wiring.state_dir / "records",
            reporter=self.reporter,
            network=self.job.config.network.name,
            watch=self.watch,
            strategy=settings.strategy,
            tolerance=settings.tolerance,
            guarantee=settings.guarantee,
            error=settings.error,
            seed=settings.seed,
            on_outcome=delivery.progress,
        )

    def _profiles_only(self, delivery: Delivery, quantizer: Quantizer) -> RunResult:
        """Write the profile of every candidate: the run ends before any is scored."""
        for candidate in self.candidates:
            delivery.profile(quantizer(candidate))
        delivery.results(SearchState())
        return self._result(delivery, SearchState())

    def _result(self, delivery: Delivery, state: SearchState) -> RunResult:
        delivery.timings()
        choice, found = delivery.choice(state), delivery.float_result
        return RunResult(
            output_dir=self.wiring.output,
            network=self.job.config.network.name,
            float_result=found,
            candidates=tuple(state.outcomes),
            choice=choice,
            cut_short=state.cut_short,
            host_layers=delivery.host_layers,
            seconds=dict(self.seconds),
            warnings=self.warnings,
            hurts=delivery.hurts,
            suggestions=suggestions(self.job.config, choice, delivery.suggested),
            report=delivery.report,
            guarantee="" if state.guarantee is None else str(state.guarantee),
            missed=(
                *([] if delivery.export is None or not delivery.export.refused else [delivery.export.refused]),
                *missed_bounds(self.job.config, choice, None if found is None else found.score),
                *filter(None, [state.missed]),
            ),
        )
