"""``slimai diff``: what two profiles of a network differ in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slimai.app.options import CommandParser
from slimai.errors import EXIT_DONE
from slimai.quantizer.profile import Entry, diff_profiles, read_profile
from slimai.yaml_reader import read_text

EPILOG = """example:
  slimai diff slimai_output/yolo/yolo_99.yaml slimai_output/other/yolo_96.yaml
"""


def main(argv: Sequence[str]) -> int:
    """Print a line for each tensor that differs between the profiles that the command line names; return 0."""
    options = _parser().parse_args(list(argv))
    lines = diff_profiles(profile(options.before), profile(options.after))
    sys.stdout.write("\n".join(lines or ["no difference"]) + "\n")
    return EXIT_DONE


def profile(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a profile file. Raises InputError with every mistake at its line."""
    return read_profile(read_text(path), str(path))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai diff",
        description="Show the tensors whose limits, type, scale or offset differ between two profiles.",
        epilog=EPILOG,
    )
    parser.add_argument("before", type=Path, metavar="BEFORE", help="profile, .yaml")
    parser.add_argument("after", type=Path, metavar="AFTER", help="profile, .yaml")
    return parser
