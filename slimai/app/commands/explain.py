"""``slimai explain``: where each value of a job comes from, what it overrode, and what its key means."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from slimai.app.commands.validate import targets
from slimai.app.options import CommandParser
from slimai.config.diagnose import judge
from slimai.config.explanation import DEFAULT, Explained, explain
from slimai.config.origins import Place
from slimai.config.placing import placed
from slimai.config.target import load_target
from slimai.errors import EXIT_DONE, EXIT_INVALID, Diagnostic, InputError
from slimai.language import labelled
from slimai.suggest import alike

EPILOG = """examples:
  slimai explain +model=yolo --changed
  slimai explain +model=yolo quantization.accuracy_level=1 --key quantization.accuracy_level --key target
  slimai explain legacy_cfg/unet.cfg --format json
"""


def main(argv: Sequence[str]) -> int:
    """Explain the targets of the command line `argv`; return 0, or 2 when one of them is wrong."""
    options, overrides = _parser().parse_known_args(list(argv))
    unknown = [word for word in overrides if word.startswith("-")]
    if unknown:
        _parser().error(f"unknown option {unknown[0]}")
    found: list[Explained] = []
    wrong: list[Diagnostic] = []
    for target in targets([*options.target, *overrides]):
        composed = load_target(target)
        verdict = judge(composed)
        wrong += placed(verdict.errors, composed)
        rows = _chosen(explain(composed, verdict), options.key)
        found += [item for item in rows if item.changed or not options.changed]
    if options.format == "json":
        sys.stdout.write(json.dumps([_json(item) for item in found], indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(line for item in found for line in _lines(item)) + "\n" if found else "")
    sys.stderr.write("".join(f"{labelled(item)}\n" for item in wrong))
    return EXIT_INVALID if wrong else EXIT_DONE


def _chosen(rows: Sequence[Explained], keys: Sequence[str]) -> list[Explained]:
    """Return the rows of the keys, or of the sections, that are asked for; all without any."""
    unknown = [key for key in keys if not any(_under(row.key, key) for row in rows)]
    if unknown:
        known = [row.key for row in rows] + sorted({row.key.partition(".")[0] for row in rows})
        raise InputError(
            Diagnostic(f"--key: there is no key '{key}' here", suggestion=_near(key, known)) for key in unknown
        )
    return [row for row in rows if not keys or any(_under(row.key, key) for key in keys)]


def _near(key: str, known: Sequence[str]) -> str:
    by_name = [item for item in known if item.rpartition(".")[2] == key]
    found = by_name or alike(key, known, 1)
    return f"did you mean '{found[0]}'?" if found else "slimai explain without --key lists all"


def _under(key: str, asked: str) -> bool:
    return key == asked or key.startswith(asked + ".")


def _lines(item: Explained) -> Iterator[str]:
    yield f"{item.key} = {_text(item.value)}"
    yield f"    {'set by' if item.place != DEFAULT else 'from'} {_place(item.place)}"
    for lost in item.lost:
        yield f"    over {_text(lost.value)}, {_place(lost.place)}"
    if item.description:
        yield f"    {item.description}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _place(place: Place) -> str:
    if place.override is not None:
        return f"override '{place.override}'"
    if place.file is None:
        return "default"
    return ":".join(str(part) for part in (place.file, place.line, place.column) if part is not None)


def _json(item: Explained) -> dict[str, Any]:
    return {
        "key": item.key,
        "value": item.value,
        "set_by": _json_place(item.place),
        "over": [{"value": lost.value, "set_by": _json_place(lost.place)} for lost in item.lost],
        "changed": item.changed,
        "description": item.description,
    }


def _json_place(place: Place) -> dict[str, Any]:
    if place.override is not None:
        return {"kind": "override", "override": place.override}
    if place.file is None:
        return {"kind": "default"}
    return {"kind": "file", "file": place.file, "line": place.line, "column": place.column}


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai explain",
        description="Show for each key of a job its value, where it was set, what that overrode, and its meaning.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "target", nargs="*", help="+model=NAME and overrides, a YAML file, or a legacy .cfg (overrides apply to files)"
    )
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="only this key or section")
    parser.add_argument("--changed", action="store_true", help="only what differs from the defaults")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the answer")
    return parser
