"""Whether a command's output is what a page shows: words as they are, figures about the same."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
SHARE, STEP = 0.1, 0.02  # figures may differ by a tenth, or by 0.02
_TIME = re.compile(r"\b\d+(\.\d+)? s\b")


def missing(shown: list[str], output: str) -> str | None:
    """Return the first shown line that does not follow in the output, or None; a line ``...`` stands for any lines."""
    rest = [_plain(line) for line in output.splitlines()]
    for line in shown:
        if line.strip() in ("", "..."):
            continue
        at = next((at for at, said in enumerate(rest) if alike(_plain(line), said)), None)
        if at is None:
            return line
        rest = rest[at + 1 :]
    return None


def _plain(line: str) -> str:
    """Return the line with single blanks, without its rules and seconds."""
    return " ".join(re.sub(r"-{2,}", "--", _TIME.sub("T s", line)).split())


def alike(shown: str, said: str) -> bool:
    """Return whether the words between the figures are equal and the figures about equal."""
    return _NUMBER.split(shown) == _NUMBER.split(said) and all(
        math.isclose(_value(a), _value(b), rel_tol=SHARE, abs_tol=STEP)
        for a, b in zip(_NUMBER.findall(shown), _NUMBER.findall(said), strict=True)
    )


def _value(text: str) -> float:
    return float(text.replace(",", ""))
