"""``slimai report``: builds the page of a run, or of a multirun, again from what the run has saved."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slimai.app.launch.multirun_table import CELLS, LATER
from slimai.app.options import CommandParser
from slimai.errors import EXIT_DONE, InputError
from slimai.report.document import PLACE
from slimai.report.page import write_multirun_page, write_page

EPILOG = """examples:
  slimai report slimai_output/yolo          writes slimai_output/yolo/report.html
  slimai report slimai_output/sweep         a multirun: its own page and that of every job
"""
MULTIRUN_FILE = "multirun.json"
# what code that reads tables of plain values raises when they have another form
_DAMAGED = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


def main(argv: Sequence[str]) -> int:
    """Rebuild the pages of the folders that the command line names; return 0."""
    options = _parser().parse_args(list(argv))
    for folder in options.folders:
        for path in rebuild(folder, options.lang):
            sys.stdout.write(f"wrote {path}\n")
    return EXIT_DONE


def rebuild(folder: Path, to: str | None = None) -> list[Path]:
    """Return the pages that were written for the run or multirun in `folder`, in the language `to`.

    Raises:
        InputError: it is neither, or what it has saved cannot be read.
    """
    if not (folder / MULTIRUN_FILE).is_file():
        return [_page(folder, to)]
    jobs = read_jobs(folder / MULTIRUN_FILE)
    finished = [folder / f"job{job['job']}" for job in jobs]
    pages = [_page(place, to) for place in finished if (place / PLACE).is_file()]
    try:
        return [*pages, write_multirun_page(folder, jobs, to)]
    except _DAMAGED as error:
        raise _damaged(folder / MULTIRUN_FILE, error) from None


def _page(folder: Path, to: str | None) -> Path:
    """Write the page of one run; what it has saved may have been altered since."""
    try:
        return write_page(folder, to)
    except _DAMAGED as error:
        raise _damaged(folder / PLACE, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    told = f"{type(error).__name__}: {error}".splitlines()[0]
    return InputError.at(str(path), f"is damaged, no page can be built of it ({told})", cure="run the job again")


def read_jobs(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a `multirun.json`; raises InputError."""
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        rows = [{**{key: job[key] for key in CELLS}, **{key: job.get(key) for key in LATER}} for job in jobs]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError.at(str(path), f"is not the summary of a multirun: {error!r}") from None
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai report",
        description="Build report.html again from a finished run; nothing is computed.",
        epilog=EPILOG,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN_DIR", help="output folder of a run or multirun")
    parser.add_argument("--lang", choices=("en", "zh"), help="language of the pages (default: that of the locale)")
    return parser
