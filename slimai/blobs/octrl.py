"""`output_control.octrl`: the names and the order of the outputs, ``[name1 name2] save``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from slimai.blobs.names import safe_name
from slimai.errors import InputError

OCTRL_NAME = "output_control.octrl"
_LINE = re.compile(r"\s*\[([^\[\]]*)\]\s+save\b[^\n]*\s*")

__all__ = ["OCTRL_NAME", "format_octrl", "parse_octrl", "read_octrl"]


def format_octrl(outputs: Iterable[str]) -> str:
    """Return the text of the file; names as in blob files."""
    return f"[{' '.join(safe_name(output) for output in outputs)}] save\n"


def parse_octrl(text: str, where: str) -> tuple[str, ...]:
    """Return the output names; what follows ``save`` (a metric, in old files) is not looked at.

    Raises: InputError naming `where`.
    """
    found = _LINE.fullmatch(text.lstrip("\ufeff"))
    names = tuple(found[1].split()) if found else ()
    if not names:
        raise InputError.at(where, "expected one line '[name1 name2] save'", text[:80])
    if len(set(names)) < len(names):
        raise InputError.at(where, "an output is named twice", list(names))
    return names


def read_octrl(path: Path) -> tuple[str, ...]:
    """Return the output names of a file; raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.at(str(path), f"the list of outputs cannot be read: {error}") from None
    return parse_octrl(text, str(path))
