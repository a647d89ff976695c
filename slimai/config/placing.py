"""Where the mistakes of a configuration stand: file, line and column, or the override that set the value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from slimai.errors import Diagnostic

if TYPE_CHECKING:
    from slimai.config.composed import Composed
    from slimai.config.origins import Place

_SEXAGESIMAL = r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"


def placed(found: Sequence[Diagnostic], composed: Composed) -> tuple[Diagnostic, ...]:
    """Return the diagnostics with the places of their keys; those that have a file of their own keep it."""
    if all(item.file or not item.key for item in found):
        return tuple(found)
    from slimai.config.origins import find_origins  # noqa: PLC0415 - spares hydra, omegaconf, pydantic, yaml

    origins = find_origins(composed)
    return tuple(item if item.file or not item.key else _at(item, origins.find(item.key)) for item in found)


def _at(item: Diagnostic, place: Place) -> Diagnostic:
    """Return the diagnostic at `place`, with the explanation of a number that was written a:b:c."""
    message = item.message
    if place.text and re.fullmatch(_SEXAGESIMAL, place.text) and "base-60" not in message:
        message += f"; the unquoted {place.text} is a base-60 number in YAML 1.1, quote it"
    return replace(
        item, message=message, file=place.file, line=place.line, column=place.column, override=place.override
    )
