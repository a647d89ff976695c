"""Several jobs: one lock, one table at the end, and the jobs' failures in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from slimai.app.launch.hydra_job import EXIT_CODES, JOB, job_folder, run_hydra
from slimai.app.launch.job_log import STATUS, forget_status, read_status
from slimai.app.launch.multirun_table import Row, _row, summary_text, write_summary
from slimai.app.launch.preflight import CheckedJob, CommandLine
from slimai.artifacts.lock import MULTIRUN, run_lock
from slimai.config.overrides import quoted
from slimai.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISSED
from slimai.language import label


def run_multirun(line: CommandLine, jobs: Sequence[CheckedJob]) -> int:
    """Run the jobs of a multirun under its lock, then print and write the summary; return the exit code."""
    configs = [job.config for job in jobs if job.config is not None]
    if not configs:  # another primary configuration: where its jobs write is not known here
        return max((EXIT_CODES[end.status] for end in run_hydra(line)), default=EXIT_DONE)
    folders = list(dict.fromkeys(config.path.output_dir for config in configs))
    started = time.time()
    with ExitStack() as stack:
        for folder in sorted(folders):
            stack.enter_context(run_lock(folder, MULTIRUN))
        places = [job_folder(config.path.output_dir, job.number) for job, config in zip(jobs, configs, strict=True)]
        before = [_written(place) for place in places]
        code = _launch(line, folders[0])
        if code != EXIT_INTERRUPTED:  # what an interrupted multirun has not begun is as it was
            for place, written in zip(places, before, strict=True):
                if written is not None and _written(place) == written:  # its launcher has failed
                    forget_status(place)
        if line.adaptive:
            rows = _found_rows(folders[0], started)
        else:
            rows = [_row(job.number, place, job.overrides) for job, place in zip(jobs, places, strict=True)]
        for folder in folders:
            write_summary(folder, rows)
    if rows:
        sys.stdout.write(summary_text(rows) + f"\n{label('summary')}{folders[0] / 'multirun.csv'}\n")
    return code if code == EXIT_INTERRUPTED else _exit_code(code, rows)


def _exit_code(launched: int, rows: Sequence[Row]) -> int:
    """Return the exit code of the jobs together: one that failed counts more than one that misses a bound."""
    if not all(row.done for row in rows):
        return EXIT_FAILED
    missed = any(row.status is not None and row.status.status == "missed" for row in rows)
    return launched or (EXIT_MISSED if missed else EXIT_DONE)


def _found_rows(folder: Path, started: float) -> list[Row]:
    """Return the rows of the job folders in `folder` that ended since `started` (seconds since 1970)."""
    numbers = sorted(
        int(place.name.removeprefix(JOB))
        for place in folder.glob(f"{JOB}*")
        if place.name.removeprefix(JOB).isdigit() and (place / STATUS).is_file()
    )
    rows = []
    for number in numbers:
        place = job_folder(folder, number)
        status = read_status(place)
        if status is not None and (place / STATUS).stat().st_mtime >= started - 1:
            rows.append(_row(number, place, status.overrides))
    return rows


def _launch(line: CommandLine, folder: Path) -> int:
    given = any(word.lstrip("+").startswith("hydra.sweep.dir=") for word in line.overrides)
    try:
        run_hydra(line, [] if given else [f"hydra.sweep.dir={quoted(str(folder))}"])
    except KeyboardInterrupt:
        sys.stderr.write("slimai: interrupted\n")
        return EXIT_INTERRUPTED
    except SystemExit as stop:  # a launcher failed; the table tells which jobs did not end
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
    return EXIT_DONE


def _written(folder: Path) -> tuple[int, int] | None:
    """Return what tells one writing of the job's status from another, or None when there is none."""
    try:
        found = (folder / STATUS).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
