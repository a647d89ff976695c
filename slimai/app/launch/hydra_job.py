"""The main job: preflight, then Hydra, whose body validates once more, runs the pipeline and never raises."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig

from slimai import interrupts
from slimai.app.launch.job_log import LoggedReporter, State, Status, forget_status, job_log, read_status, write_status
from slimai.app.launch.preflight import CommandLine
from slimai.app.screen import summary
from slimai.app.screen.reporter import ConsoleReporter
from slimai.config.compose import plain
from slimai.config.composed import Composed
from slimai.config.diagnose import judge
from slimai.config.dirs import bundled_conf
from slimai.config.hydra_setup import CONFIG_NAME, VERSION_BASE, prepare_hydra
from slimai.config.overrides import in_hydra_terms
from slimai.config.placing import placed
from slimai.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_MISSED, InputError, SlimaiError
from slimai.language import label, language, translated
from slimai.schema.root import MACHINE_KEYS, SlimaiConfig

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from slimai.app.run.result import RunResult

EXIT_CODES: dict[State, int] = {
    "done": EXIT_DONE,
    "missed": EXIT_MISSED,
    "failed": EXIT_FAILED,
    "invalid": EXIT_INVALID,
    "interrupted": EXIT_INTERRUPTED,
}

JOB = "job"


def run_hydra(line: CommandLine, extra: Sequence[str] = ()) -> list[Status]:
    """Run the command line by Hydra and return how the jobs of this process ended, in order."""
    ends: list[Status] = []

    def task(config: DictConfig) -> float:
        end = run_composed(config, HydraConfig.get())
        ends.append(end)
        return float("nan") if end.score is None else end.score

    prepare_hydra()
    before = sys.argv
    sys.argv = ["slimai", *line.flags, *(in_hydra_terms(word) for word in line.overrides), *extra]
    try:
        hydra.main(version_base=VERSION_BASE, config_path=str(bundled_conf()), config_name=CONFIG_NAME)(task)()
    finally:
        sys.argv = before
    return ends


def run_composed(config: DictConfig, hydra: Any) -> Status:
    """Validate what Hydra composed and run it; return how it ended. Only an interruption is raised."""
    composed = plain(config, hydra)
    multirun = str(hydra.mode).endswith("MULTIRUN")
    number = int(hydra.job.num) if multirun else None
    verdict = judge(composed)
    if verdict.config is None:
        message = "\n".join(str(item) for item in placed(verdict.errors, composed))
        sys.stderr.write(message + "\n")
        return Status("invalid", "", composed.overrides, None, message)
    return _Job(verdict.config, composed, number).run()


@dataclass(frozen=True)
class _Job:
    """One job with its own folder."""

    wanted: SlimaiConfig
    composed: Composed
    number: int | None

    @property
    def config(self) -> SlimaiConfig:
        """The configuration with the folder of the job; jobs of a multirun share the calibration cache."""
        if self.number is None:
            return self.wanted
        path = self.wanted.path
        own = {
            "output_dir": job_folder(path.output_dir, self.number),
            "tmp_dir": path.tmp_dir or path.output_dir / ".cache",
        }
        return self.wanted.model_copy(update={"path": path.model_copy(update=own)})

    def run(self) -> Status:
        config = self.config
        folder, key = config.path.output_dir, config.key()
        if self.number is not None:
            set_aside(folder, key)
            folder.mkdir(parents=True, exist_ok=True)
            forget_status(folder)
        words = _telling(self.composed.overrides)
        with job_log(folder) as logger:
            try:
                result = self._pipeline(config, logger)
                missed = "; ".join(result.missed)
                end = Status("missed" if missed else "done", key, words, result.score, missed)
            except (InputError, SlimaiError) as error:
                self._pass_on_interruption(folder, key, words)
                state: State = "invalid" if isinstance(error, InputError) else "failed"
                end = Status(state, key, words, None, str(error))
            except KeyboardInterrupt:
                write_status(folder, Status("interrupted", key, words, None, "interrupted"))
                raise
            except Exception as error:  # noqa: BLE001 - a job that fails must not stop the others
                self._pass_on_interruption(folder, key, words)
                end = Status("failed", key, words, None, f"{type(error).__name__}: {error}")
                logger.error("%s", traceback.format_exc())  # noqa: TRY400 - the traceback belongs to this log alone
            if not end.finished:
                self._tell(end, logger)
        if end.status != "invalid" or self.number is not None:
            write_status(folder, end)
        return end

    def _pass_on_interruption(self, folder: Path, key: str, words: tuple[str, ...]) -> None:
        """Raise KeyboardInterrupt where an error is only what an interruption was turned into."""
        if interrupts.pending():
            write_status(folder, Status("interrupted", key, words, None, "interrupted"))
            raise KeyboardInterrupt

    def _pipeline(self, config: SlimaiConfig, logger: Any) -> RunResult:
        from slimai.app.run.pipeline import run_job  # noqa: PLC0415 - spares filelock, numpy

        console = ConsoleReporter(quiet=os.environ.get("SLIMAI_QUIET", "") not in ("", "0"))
        result: RunResult = run_job(config, reporter=LoggedReporter(console, logger))
        ending = summary.run_summary(result)
        logger.info("%s", ending)
        if self.number is None:
            console.table(summary.run_summary(result, language()))
        return result

    def _tell(self, end: Status, logger: Any) -> None:
        head = "" if self.number is None else f"{JOB}{self.number}: "
        kind = label("error") if end.status == "invalid" else ""
        sys.stderr.write("".join(f"{head}{kind}{translated(line)}\n" for line in end.message.splitlines()))
        if end.status == "failed":
            sys.stderr.write(f"{head}{label('details')}{self.config.path.output_dir / 'slimai.log'}\n")
        if self.number is not None:
            logger.error("%s", end.message)


def _telling(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides that say what is computed, not where."""
    words = (word.lstrip("+") for word in overrides)
    return tuple(word for word in words if not word.startswith(tuple(f"{key}=" for key in MACHINE_KEYS)))


def job_folder(output_dir: Path, number: int) -> Path:
    """Return the folder of job `number` of a multirun."""
    return output_dir / f"{JOB}{number}"


def set_aside(folder: Path, key: str) -> None:
    """Move the job folder of another configuration to ``job<N>.old-<key>``, so that results never mix."""
    earlier = read_status(folder)
    if earlier is None or earlier.key in ("", key):
        return
    target = folder.with_name(f"{folder.name}.old-{earlier.key}")
    count = 1
    while target.exists():
        count += 1
        target = folder.with_name(f"{folder.name}.old-{earlier.key}-{count}")
    folder.rename(target)
