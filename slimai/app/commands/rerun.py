"""``slimai rerun``: a run once more from its lock, with the same bytes, or what has changed since."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from slimai.app.delivery.adjust_file import FOLDER as ADJUST
from slimai.app.delivery.inspection import environment
from slimai.app.delivery.lock_file import LOCK, Lock, read_lock
from slimai.app.opening.content_keys import content_keys
from slimai.app.opening.open_job import prepare
from slimai.app.options import CommandParser
from slimai.app.run.pipeline import run_job
from slimai.app.screen import summary
from slimai.app.screen.reporter import ConsoleReporter
from slimai.errors import EXIT_DONE, EXIT_MISSED, Diagnostic, InputError
from slimai.language import language
from slimai.report.page import write_page
from slimai.schema.root import SlimaiConfig

EPILOG = """examples:
  slimai rerun slimai_output/yolo              writes slimai_output/yolo.rerun
  slimai rerun slimai_output/yolo -o again
"""
OWN = ("slimai.log", "timings.json", LOCK)  # say when and where a run was made
STATE = (".cache", ".slimai", ".slimai.lock")
BY_HAND = "edited limits"  # known when the limits have been solved


def main(argv: Sequence[str]) -> int:
    """Repeat the run that the command line names; return 0 when all files are the same, 3 when one differs."""
    options = _parser().parse_args(list(argv))
    folder: Path = options.folder
    lock = read_lock(folder)
    output = Path(os.path.abspath(options.output or f"{folder}.rerun"))  # noqa: PTH100 - links stay as written
    config = _elsewhere(lock.config, folder, output)
    _require_unchanged(lock, config, folder)
    say = ConsoleReporter(quiet=os.environ.get("SLIMAI_QUIET", "") not in ("", "0"))
    for name, (before, now) in _other_versions(lock.versions).items():
        say.warn(f"{name} was {before}, is {now}")
    if (folder / ADJUST).is_dir():
        shutil.copytree(folder / ADJUST, output / ADJUST, dirs_exist_ok=True)
    result = run_job(config, reporter=say)
    sys.stdout.write(summary.run_summary(result) + "\n")
    if lock.language != language() and result.report is not None:
        write_page(output, lock.language)  # the page is compared too
    return _verdict(folder, output)


def _elsewhere(config: SlimaiConfig, folder: Path, output: Path) -> SlimaiConfig:
    """Return the configuration with another output folder, which must be new, or one that a rerun was stopped in."""
    if output.resolve() == folder.resolve():
        raise InputError.at(str(output), "is the folder of the run itself", cure="give another with -o")
    moved = config.model_copy(update={"path": config.path.model_copy(update={"output_dir": output})})
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        try:
            earlier = read_lock(output).config
        except InputError:
            raise InputError.at(str(output), "is there already", cure="give another folder with -o") from None
        if earlier != moved:
            raise InputError.at(str(output), "holds the results of another run", cure="give another folder with -o")
    return moved


def _require_unchanged(lock: Lock, config: SlimaiConfig, folder: Path) -> None:
    """Raise InputError naming every part of the input that is no longer what the run has read."""
    now = content_keys(prepare(config), {}).parts
    changed = [name for name in now if name != BY_HAND and now[name] != lock.content.get(name)]
    if changed:
        file = str(folder / LOCK)
        raise InputError(
            Diagnostic(f"{name} changed since the run", file=file, suggestion="restore it, or start a new run")
            for name in changed
        )


def _other_versions(before: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    now = environment()
    return {name: (before.get(name, "not known"), now[name]) for name in now if before.get(name) != now[name]}


def _verdict(folder: Path, output: Path) -> int:
    """Say which files of the two folders differ; return the exit code."""
    first, second = set(_results(folder)), set(_results(output))
    lines = [f"{name}: only in {folder}" for name in sorted(first - second)]
    lines += [f"{name}: only in {output}" for name in sorted(second - first)]
    shared = sorted(first & second)
    lines += [f"{name}: differs" for name in shared if _content(folder, name) != _content(output, name)]
    if lines:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.write(f"rerun: {len(lines)} of {len(first | second)} files are not the same\n")
        return EXIT_MISSED
    sys.stdout.write(f"rerun: the same bytes in all {len(shared)} files\n")
    return EXIT_DONE


def _results(folder: Path) -> Iterator[str]:
    """Yield the names of the files of a run below its folder, without its state and what tells times."""
    for place, folders, files in os.walk(folder):
        inner = Path(place).relative_to(folder)
        top = inner == Path()
        folders[:] = [name for name in folders if not (top and name in STATE)]
        yield from (str(inner / name) for name in files if not (top and name in (*STATE, *OWN)))


def _content(folder: Path, name: str) -> bytes:
    """Return the bytes of a file with the folder's own path taken out."""
    return (folder / name).read_bytes().replace(os.fsencode(folder.resolve()), b"")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai rerun",
        description="Repeat a run from its run.lock.yaml and compare every file, or name what has changed since.",
        epilog=EPILOG,
    )
    parser.add_argument("folder", type=Path, metavar="RUN_DIR", help="output folder of a run")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write to (default: RUN_DIR.rerun)")
    return parser
