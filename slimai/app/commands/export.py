"""``slimai export``: a configuration as a legacy cfg for the vendor's compiler."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from slimai.app.options import CommandParser
from slimai.artifacts.atomic import write_text
from slimai.config.composed import Composed
from slimai.config.diagnose import judge
from slimai.config.legacy.export import MARK, Export, Tuned, delivered_row, export_cfg, tuned_from
from slimai.config.placing import placed
from slimai.config.target import load_target
from slimai.errors import EXIT_DONE, EXIT_INVALID, InputError
from slimai.language import labelled
from slimai.schema.root import SlimaiConfig

EPILOG = """examples:
  slimai export +model=yolo                                           writes yolo.cfg
  slimai export +model=yolo -o npu/yolo.cfg --from slimai_output/yolo
  slimai export conf/model/yolo.yaml quantization.accuracy_level=2 -o -     to the terminal
"""
RUN_FILE = "run.json"


def main(argv: Sequence[str]) -> int:
    """Export the configuration of the command line `argv`; return 0 when it was written, else 2."""
    options, overrides = _parser().parse_known_args(list(argv))
    unknown = [word for word in overrides if word.startswith("-")]
    if unknown:
        _parser().error(f"unknown option {unknown[0]}")
    config = _config(load_target([*options.target, *overrides]))
    tuned = None if options.run is None else best_of(options.run, config.network.name)
    to_terminal = options.output == "-"
    target = Path(f"{config.network.name}.cfg" if options.output is None or to_terminal else options.output)
    export = export_cfg(config, target, tuned)
    for item in export.diagnostics:
        sys.stderr.write(f"{labelled(item)}\n")
    if export.failed:
        return EXIT_INVALID
    if to_terminal:
        sys.stdout.write(export.text)
    else:
        _write(export, target, force=options.force)
    return EXIT_DONE


def _config(composed: Composed) -> SlimaiConfig:
    """Return the validated configuration.

    Raises:
        InputError: it is wrong; every mistake with its place.
    """
    verdict = judge(composed)
    if verdict.config is None:
        raise InputError(placed(list(verdict.errors), composed))
    return verdict.config


def best_of(run_dir: Path, name: str) -> Tuned:
    """Return the candidate that the run in `run_dir`, of the network `name`, delivered; say where that is not the best.

    Raises:
        InputError: there is no readable ``run.json``, it has no best candidate, or it is of another network.
    """
    file = run_dir / RUN_FILE
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        tuned = tuned_from(run)
        row = delivered_row(run)
        profile = "" if row is None else str(row["profile"])
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError.at(str(file), f"cannot be read: {cause}", cure="give the output folder of a run") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError.at(str(file), "is not the result of a run", cure="give the output folder of a run") from None
    if tuned is None:
        raise InputError.at(str(file), "has no best candidate", cure="let the run score at least one")
    if not profile.startswith(f"{name}_"):
        raise InputError.at(str(file), f"is a run of another network than '{name}'", profile, cure="give its own run")
    note = run.get("delivered_note")
    if note:
        sys.stdout.write(f"from {run_dir}: {profile} ({note})\n")
    return tuned


def _write(export: Export, target: Path, *, force: bool) -> None:
    if not force and target.exists() and not _is_ours(target):
        cure = "give another name with -o, or --force to replace it"
        raise InputError.at(str(target), "is there already and was not written by slimai export", cure=cure)
    write_text(target, export.text)
    sys.stdout.write(f"wrote {target}\n")


def _is_ours(path: Path) -> bool:
    try:
        return path.read_text(encoding="utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai export",
        description="Write a configuration as a legacy cfg; what a cfg cannot say is listed.",
        epilog=EPILOG,
    )
    parser.add_argument("target", nargs="*", help="+model=NAME and overrides, or a YAML file")
    parser.add_argument("-o", "--output", help="the cfg file, or - for the terminal (default: <network name>.cfg)")
    parser.add_argument(
        "--from", dest="run", type=Path, metavar="RUN_DIR", help="take level and range from what this run delivered"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that was not written by slimai export")
    return parser
