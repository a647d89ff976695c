"""``slimai convert``: legacy cfg files to presets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from slimai.app.options import CommandParser
from slimai.app.screen.table import render
from slimai.artifacts.atomic import write_text
from slimai.config.legacy.convert import MARK, Conversion, convert_cfg
from slimai.errors import EXIT_DONE, EXIT_INVALID, Diagnostic, InputError
from slimai.language import labelled

EPILOG = """examples:
  slimai convert net.cfg                          writes conf/model/net.yaml
  slimai convert net.cfg -o conf/model/mine.yaml
  slimai convert legacy_cfg -o conf/model         every .cfg below the folder, one .yaml each
  slimai convert legacy_cfg --check               says what would become of them, writes nothing
"""


def main(argv: Sequence[str]) -> int:
    """Convert the files of the command line `argv`; return 0 when all of them could be, else 2."""
    options = _parser().parse_args(list(argv))
    sources = list(_sources([Path(word) for word in options.file]))
    conversions = [convert_cfg(source, target) for source, target in _targets(sources, options.output)]
    conversions = [item if options.check else _written(item, force=options.force) for item in conversions]
    for item in (diagnostic for conversion in conversions for diagnostic in conversion.diagnostics):
        sys.stdout.write(f"{labelled(item)}\n")
    sys.stdout.write(_summary(conversions, check=options.check))
    return EXIT_INVALID if any(item.text is None for item in conversions) else EXIT_DONE


def _sources(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files named, and the .cfg files below the folders named."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.rglob("*.cfg"))
        if not found:
            raise InputError.at(str(path), "there is no .cfg file in this folder")
        yield from found


def _targets(sources: Sequence[Path], output: Path | None) -> list[tuple[Path, Path]]:
    """Return each source with the file that it becomes.

    Raises:
        InputError: two sources would become one file, or several have one output file.
    """
    if output is not None and output.suffix.lower() in {".yaml", ".yml"} and not output.is_dir():
        if len(sources) > 1:
            raise InputError.at(str(output), f"{len(sources)} files cannot become one", cure="give a folder with -o")
        return [(sources[0], output)]
    folder = Path("conf/model") if output is None else output
    if folder.exists() and not folder.is_dir():
        raise InputError.at(str(folder), "is neither a folder nor a .yaml file")
    pairs = [(source, folder / f"{source.stem}.yaml") for source in sources]
    by_target: dict[Path, list[Path]] = {}
    for source, target in pairs:
        by_target.setdefault(target, []).append(source)
    clashes = [
        Diagnostic(f"{' and '.join(map(str, group))} would both become this file", file=str(target))
        for target, group in by_target.items()
        if len(group) > 1
    ]
    if clashes:
        raise InputError(clashes)
    return pairs


def _written(item: Conversion, *, force: bool) -> Conversion:
    """Write the file of a conversion; one that is there and was not converted is kept, which is an error."""
    if item.text is None:
        return item
    if not force and item.target.exists() and not _is_ours(item.target):
        cure = "give another name with -o, or --force to replace it"
        found = Diagnostic(
            "is there already and was not written by slimai convert", suggestion=cure, file=str(item.target)
        )
        return replace(item, text=None, diagnostics=(*item.diagnostics, found))
    write_text(item.target, item.text)
    return item


def _is_ours(path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:3]
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.startswith(MARK) for line in lines)


def _summary(conversions: Sequence[Conversion], *, check: bool) -> str:
    """Return one line for one file, a table for several."""
    if len(conversions) == 1:
        item = conversions[0]
        verb = "would become" if check else "became"
        what = "not converted" if item.text is None else f"{verb} {item.target}"
        counts = ", ".join(_plural(item.count(severity), severity) for severity in ("error", "warning"))
        return f"{item.source}: {what} ({counts})\n"
    rows = [
        (str(item.source), str(item.count("error")), str(item.count("warning")), _result(item)) for item in conversions
    ]
    good = sum(item.text is not None for item in conversions)
    table = render(("cfg", "errors", "warnings", "result"), rows)
    return f"{table}\n{good} of {len(rows)} files {'can be ' if check else ''}converted\n"


def _result(item: Conversion) -> str:
    return "not converted" if item.text is None else item.target.name


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai convert",
        description="Turn legacy .cfg files into presets; every key is mapped, dropped with its reason, or refused.",
        epilog=EPILOG,
    )
    parser.add_argument("file", nargs="+", help="a .cfg file, or a folder: every .cfg below it")
    parser.add_argument("-o", "--output", type=Path, help="a .yaml file, or a folder (default: conf/model)")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--force", action="store_true", help="replace files that were not written by slimai convert")
    return parser
