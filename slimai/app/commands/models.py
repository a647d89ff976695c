"""``slimai models``: the presets that can run here, and what the others need."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from slimai.app.check.verdict import judge_job
from slimai.app.options import CommandParser
from slimai.config.presets import Preset, presets
from slimai.config.target import load_target
from slimai.errors import EXIT_DONE, Diagnostic, InputError

EPILOG = """examples:
  slimai models --all
  slimai models
"""


@dataclass(frozen=True)
class _Row:
    preset: Preset
    needs: str


def main(argv: Sequence[str]) -> int:
    """List the presets; return 0."""
    options = _parser().parse_args(list(argv))
    rows = [_Row(item, _needs(item)) for item in presets()]
    shown = [row for row in rows if options.all or not row.needs]
    if options.format == "json":
        sys.stdout.write(json.dumps([_json(row) for row in shown], indent=2, ensure_ascii=False) + "\n")
        return EXIT_DONE
    width = max((len(row.preset.name) for row in shown), default=0)
    for row in shown:
        sys.stdout.write(f"{row.preset.name:<{width}}  {row.preset.about}".rstrip() + "\n")
        if row.needs:
            sys.stdout.write(f"{'':<{width}}  needs {row.needs}\n")
    rest = len(rows) - len(shown)
    if rest:
        sys.stdout.write(f"{rest} more need something that is not here: slimai models --all\n")
    sys.stdout.write("run one: slimai +model=NAME; make one for a network of your own: slimai init MODEL\n")
    return EXIT_DONE


def _json(row: _Row) -> dict[str, str]:
    return {"name": row.preset.name, "file": str(row.preset.file), "about": row.preset.about, "needs": row.needs}


def _needs(preset: Preset) -> str:
    """Return what keeps a preset from running here; an empty string where nothing does."""
    if preset.lacking:
        return " and ".join(f"a folder named by {name}" for name in preset.lacking)
    wrong = [item for item in _judged(preset) if item.severity == "error"]
    if not wrong:
        return ""
    return str(wrong[0]) if len(wrong) == 1 else f"{wrong[0]} (and {len(wrong) - 1} more)"


def _judged(preset: Preset) -> Sequence[Diagnostic]:
    try:
        return judge_job(load_target([f"+model={preset.name}"])).diagnostics
    except InputError as error:
        return error.diagnostics


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai models",
        description="List the presets that can run here.",
        epilog=EPILOG,
    )
    parser.add_argument("--all", action="store_true", help="those too that need data, with what they need")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the answer")
    return parser
