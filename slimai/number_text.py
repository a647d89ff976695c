"""Numbers as text: with so many decimals for people, in the fewest digits that read back for files."""

from __future__ import annotations

import math


def decimals(value: float | None, digits: int = 3, none: str = "-") -> str:
    """Return the number with so many decimals; `none` where there is none, or it is not finite."""
    return none if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def shortest(value: float) -> str:
    """Return the fewest digits that read back to the same number: ``0.5``, ``12`` for 12.0."""
    return repr(without_point(value))


def without_point(value: float) -> float:
    """Return a whole number of less than sixteen digits as an int, so that it is written without ``.0``."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def yaml_float(value: float) -> str:
    """Return the shortest decimal that reads back to the same double, in a form that YAML 1.1 takes as a float."""
    text = repr(float(value))
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")  # YAML 1.1 wants a point before an exponent
    return text
