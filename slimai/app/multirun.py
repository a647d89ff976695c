"""Several jobs: one lock, one table at the end, and the jobs' failures in it."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimai.app.job import EXIT_CODES, JOB, job_folder, run_hydra
from slimai.app.job_log import STATUS, Status, read_status
from slimai.app.preflight import CheckedJob, CommandLine
from slimai.app.table import render
from slimai.artifacts.atomic import write_text
from slimai.artifacts.lock import MULTIRUN, run_lock
from slimai.config.overrides import quoted
from slimai.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED

COLUMNS = ("job", "status", "overrides", "float", "score", "value", "profile", "level", "range", "ms", "message")


@dataclass(frozen=True)
class Row:
    """One job of the final table."""

    number: int
    folder: Path
    overrides: tuple[str, ...]
    status: Status | None
    run: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether the job ended well."""
        return self.status is not None and self.status.status == "done"

    def cells(self) -> dict[str, Any]:
        """Return the row of the CSV and JSON summary."""
        best = self.run.get("best") or {}
        status = self.status or Status("failed", "", message="the job left no status")
        return {
            "job": self.number,
            "status": status.status,
            "overrides": " ".join(self.overrides),
            "float": (self.run.get("float") or {}).get("score"),
            "score": best.get("score"),
            "value": best.get("value"),
            "profile": best.get("profile"),
            "level": best.get("accuracy_level"),
            "range": best.get("range"),
            "ms": best.get("latency_ms"),
            "message": status.message,
        }


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
        for place, config in zip(places, configs, strict=True):
            _forget_status(place, config.key())
        code = _launch(line, folders[0])
        if line.adaptive:
            rows = _found_rows(folders[0], started)
        else:
            rows = [_row(job.number, place, job.overrides) for job, place in zip(jobs, places, strict=True)]
        for folder in folders:
            write_summary(folder, rows)
    if rows:
        sys.stdout.write(summary_text(rows) + f"\nsummary: {folders[0] / 'multirun.csv'}\n")
    if code == EXIT_INTERRUPTED or all(row.done for row in rows):
        return code
    return EXIT_FAILED


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


def _forget_status(folder: Path, key: str) -> None:
    """Remove the status of an earlier run of the same job: the table shows how this one ends."""
    earlier = read_status(folder)
    if earlier is not None and earlier.key == key:
        (folder / STATUS).unlink()


def _row(number: int, folder: Path, overrides: tuple[str, ...]) -> Row:
    run: dict[str, Any] = {}
    status = read_status(folder)
    if status is not None and status.status == "done":
        try:
            run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            run = {}
    return Row(number, folder, overrides, status, run)


def varying(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the keys that were swept, and for each row its values of them.

    Keys are told by their last part where that is plain; a key that a row was not given has ``-``.
    """
    given = [dict(_split(word) for word in row.overrides) for row in rows]
    keys = list(dict.fromkeys(key for values in given for key in values))
    swept = [key for key in keys if len(rows) < 2 or len({values.get(key) for values in given}) > 1]
    short = [key.rpartition(".")[2] for key in swept]
    names = [last if short.count(last) == 1 else key for key, last in zip(swept, short, strict=True)]
    return names, [[values.get(key, "-") for key in swept] for values in given]


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+").partition("=")
    return key, value


def summary_text(rows: Sequence[Row]) -> str:
    """Return the table of all jobs in the order of their numbers, failures below it."""
    keys, values = varying(rows)
    header = ("profile", "job", *keys, "float", "score", "est. ms", "status")
    lines = []
    for row, swept in zip(rows, values, strict=True):
        cells = row.cells()
        found = (_number(cells["float"], 4), _number(cells["score"], 4), _number(cells["ms"], 3), cells["status"])
        profile = (cells["profile"] or "-").removesuffix(".yaml")
        lines.append((profile, str(row.number), *swept, *found))
    failures = [
        f"job{row.number}: {row.cells()['message'].splitlines()[0] if row.cells()['message'] else 'failed'}"
        for row in rows
        if not row.done
    ]
    return "\n".join([render(header, lines), *failures])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def write_summary(folder: Path, rows: Sequence[Row]) -> None:
    """Write `multirun.csv`, `multirun.json` and the report over the jobs into the output folder."""
    cells = [row.cells() for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(cells)
    write_text(folder / "multirun.csv", text.getvalue())
    write_text(folder / "multirun.json", json.dumps({"jobs": cells}, indent=1, ensure_ascii=False) + "\n")
    if cells:
        from slimai.report.page import write_multirun_page

        write_multirun_page(folder, cells)
