"""Text of a cfg value as the plain value that YAML holds; what does not fit stays text for the schema to refuse."""

from __future__ import annotations

import math
import re
from typing import Any

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,15}")
_REAL = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_WORDS = {"true": True, "false": False}


def number(text: str) -> Any:
    """Return the integer (also ``0x280``) or float of `text`, or `text` itself."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _REAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def numbers(text: str) -> Any:
    """Return the number of `text`, or the list when it has commas."""
    parts = [number(part.strip()) for part in text.split(",")]
    return parts if len(parts) > 1 else parts[0]


def switch(text: str) -> Any:
    """Return the truth value of ``True`` / ``False`` in any case, or `text` itself."""
    return _WORDS.get(text.lower(), text)


def flag(text: str) -> Any:
    """Return the truth value of a key that has no other: as `switch`, and 1 or 0."""
    return {"1": True, "0": False}.get(text, switch(text))
