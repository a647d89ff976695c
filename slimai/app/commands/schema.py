"""``slimai schema``: JSON Schemas and the configuration reference, written from the models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slimai.app.options import CommandParser
from slimai.artifacts.atomic import write_text
from slimai.errors import EXIT_DONE, EXIT_FAILED

EPILOG = """examples:
  slimai schema                                  write schemas/
  slimai schema --check                          fail when schemas/ is stale
  slimai schema --docs docs/configuration.md     write the reference page too
"""


def main(argv: Sequence[str]) -> int:
    """Write or check the schemas; return 0, or 1 when `--check` finds a stale file."""
    options = _parser().parse_args(list(argv))
    files = _files(options.output, options.docs)
    if options.check:
        return _check(files)

    for path, text in files.items():
        write_text(path, text)
    sys.stdout.write(f"{len(files)} files written\n")
    return EXIT_DONE


def _files(folder: Path, docs: Path | None) -> dict[Path, str]:
    from slimai.schema.export import all_schemas  # noqa: PLC0415 - spares pydantic
    from slimai.schema.reference import reference_page  # noqa: PLC0415 - spares pydantic

    files = {folder / name: text for name, text in all_schemas().items()}
    return files | ({docs: reference_page()} if docs else {})


def _check(files: dict[Path, str]) -> int:
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        what = "is stale" if path.is_file() else "is missing"
        sys.stdout.write(f"error: {path}: {what}; run slimai schema\n")
    if not stale:
        sys.stdout.write(f"{len(files)} files are up to date\n")
    return EXIT_FAILED if stale else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai schema",
        description="Write the JSON Schemas of the configuration: one a section, and the whole.",
        epilog=EPILOG,
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("schemas"), help="folder (default: schemas)")
    parser.add_argument("--docs", type=Path, help="write the configuration reference page to this file")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    return parser
