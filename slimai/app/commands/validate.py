"""``slimai validate``: every mistake of a configuration at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from slimai.app.check.verdict import judge_job, shadow_report
from slimai.app.options import CommandParser
from slimai.config.target import is_file_target, load_target
from slimai.errors import EXIT_DONE, EXIT_INVALID, Diagnostic, InputError
from slimai.language import label, labelled, translated

EPILOG = """examples:
  slimai validate +model=yolo quantization.accuracy_level=3
  slimai validate conf/model/yolo.yaml legacy_cfg/unet.cfg --format json
  slimai validate +model=yolo --deep
"""


def main(argv: Sequence[str]) -> int:
    """Check the targets of the command line `argv`; return 0 when all are valid, else 2."""
    options, overrides = _parser().parse_known_args(list(argv))
    unknown = [word for word in overrides if word.startswith("-")]
    if unknown:
        _parser().error(f"unknown option {unknown[0]}")
    judged = [(" ".join(one), check(one, deep=options.deep)) for one in targets([*options.target, *overrides])]
    found = [item for _, items in judged for item in items]
    if options.format == "text":
        _print(found)
    else:
        from slimai.app.screen.formats import FORMATS  # noqa: PLC0415 - spares xml and urllib

        text = FORMATS[options.format](judged)
        sys.stdout.write(text + "\n" if text else "")
    return EXIT_INVALID if any(item.severity == "error" for item in found) else EXIT_DONE


def targets(words: Sequence[str]) -> list[list[str]]:
    """Return the targets of the words: each file is one, all overrides together are one."""
    files = [[word] for word in words if is_file_target(word)]
    overrides = [word for word in words if not is_file_target(word)]
    if not files or any(word.lstrip("+").startswith("model=") for word in overrides):
        return [*files, overrides]
    return [[*file, *overrides] for file in files]


def check(target: Sequence[str], *, deep: bool = False) -> list[Diagnostic]:
    """Return the diagnostics of one target."""
    try:
        composed = load_target(target)
    except InputError as error:
        return list(error.diagnostics)
    return list(judge_job(composed, deep=deep).diagnostics)


def _print(found: Sequence[Diagnostic]) -> None:
    for line in shadow_report():
        sys.stdout.write(f"{label('note')}{translated(line)}\n")
    for item in found:
        sys.stdout.write(f"{labelled(item)}\n")
    errors = sum(item.severity == "error" for item in found)
    warnings = len(found) - errors
    counts = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    sys.stdout.write(translated(f"{'invalid' if errors else 'valid'}: {counts}") + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai validate",
        description="Check configurations, the files they name and the image lists; list every mistake at once.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "target", nargs="*", help="+model=NAME and overrides, a YAML file, or a legacy .cfg (overrides apply to files)"
    )
    parser.add_argument(
        "--format", choices=("text", "json", "github", "sarif", "junit"), default="text", help="form of the answer"
    )
    parser.add_argument("--deep", action="store_true", help="open the model and every picture too")
    return parser
