"""The values of a target as they were composed, before anything judges them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimai.errors import Diagnostic


@dataclass(frozen=True)
class Composed:
    """The values of one job before validation.

    overrides: in Hydra's terms. written: as the user wrote them. config_file: the preset's file.
    files: preset name -> path of presets that were given as a path. notes: what reading them brought up.
    """

    values: dict[str, Any]
    overrides: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    config_file: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
