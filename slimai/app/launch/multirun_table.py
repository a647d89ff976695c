"""The table over all jobs of a multirun, as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimai.app.launch.job_log import Status, read_status
from slimai.app.screen.table import render
from slimai.artifacts.atomic import write_text
from slimai.language import translated
from slimai.number_text import decimals
from slimai.report.page import write_multirun_page

COLUMNS = (
    *("job", "status", "overrides", "float", "score", "low", "high", "metric", "value", "profile", "level", "range"),
    *("ms", "message"),
)


# of each job in multirun.json; the last two are not there in those of earlier versions
CELLS = ("job", "status", "overrides", "float", "score", "value", "profile", "level", "range", "ms", "message")
LATER = ("interval", "metric")

NO_STATUS = Status("failed", "", message="the job left no status")


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
        return self.status is not None and self.status.finished

    def cells(self) -> dict[str, Any]:
        """Return the row of the CSV and JSON summary."""
        best = self.run.get("delivered", self.run.get("best")) or {}
        status = self.status or NO_STATUS
        return {
            "job": self.number,
            "status": status.status,
            "overrides": " ".join(self.overrides),
            "float": (self.run.get("float") or {}).get("score"),
            "score": best.get("score"),
            "interval": best.get("interval"),
            "metric": self.run.get("metric"),
            "value": best.get("value"),
            "profile": best.get("profile"),
            "level": best.get("accuracy_level"),
            "range": _range(best),
            "ms": best.get("latency_ms"),
            "message": status.message,
        }


def _range(best: Mapping[str, Any]) -> Any:
    """Return the percentage of a candidate; that of an entry `percentile P` of `limits` begins with p."""
    return f"p{best['range']}" if best.get("range_mode") == "percentile" else best.get("range")


def _row(number: int, folder: Path, overrides: tuple[str, ...]) -> Row:
    run: dict[str, Any] = {}
    status = read_status(folder)
    if status is not None and status.finished:
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
        status = translated(cells["status"])
        found = (decimals(cells["float"], 4), decimals(cells["score"], 4), decimals(cells["ms"], 3), status)
        profile = (cells["profile"] or "-").removesuffix(".yaml")
        lines.append((profile, str(row.number), *swept, *found))
    failures = [
        f"job{row.number}: {row.cells()['message'].splitlines()[0] if row.cells()['message'] else 'failed'}"
        for row in rows
        if row.cells()["message"] or not row.done
    ]
    return "\n".join([render([translated(word) for word in header], lines), *map(translated, failures)])


def _flat(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of the CSV: the two ends of the interval each in a column of its own."""
    low, high = cells["interval"] or (None, None)
    return {**{key: value for key, value in cells.items() if key != "interval"}, "low": low, "high": high}


def write_summary(folder: Path, rows: Sequence[Row]) -> None:
    """Write `multirun.csv`, `multirun.json` and the report over the jobs into the output folder."""
    cells = [row.cells() for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(_flat(row) for row in cells)
    write_text(folder / "multirun.csv", text.getvalue())
    write_text(folder / "multirun.json", json.dumps({"jobs": cells}, indent=1, ensure_ascii=False) + "\n")
    if cells:
        write_multirun_page(folder, cells)
