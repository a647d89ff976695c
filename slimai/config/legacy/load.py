"""A cfg file read and judged: its settings in the new terms, and every mistake with line and column."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slimai.config.diagnose import MISSING, judge_values
from slimai.config.full_width import named
from slimai.config.legacy import mapping
from slimai.config.legacy.lexer import Place, read_lines
from slimai.config.legacy.read import REQUIRED, read_settings
from slimai.config.legacy.settings import Settings
from slimai.errors import Diagnostic

_STAND_IN = "model.onnx"


@dataclass(frozen=True)
class CfgReport:
    """The settings of a cfg and all that is to be said about them, in the order of the lines.

    missing: dotted keys that a job needs and the cfg does not give.
    """

    settings: Settings
    diagnostics: tuple[Diagnostic, ...]
    missing: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether one of the diagnostics is an error."""
        return any(item.severity == "error" for item in self.diagnostics)


def load_cfg(path: Path, base: Path | None = None) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Return the settings of the cfg `path` as a composed YAML would give them, and every diagnostic.

    Paths of the cfg become absolute, or relative to `base` when it is given. A key that a job needs and the cfg
    does not give is an error. Check the severities before using the settings.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    report = judge_cfg(path, base)
    lack = [lacking(report.settings, key) for key in report.missing]
    return report.settings.values, sorted([*report.diagnostics, *lack], key=_order)


def judge_cfg(path: Path, base: Path | None = None) -> CfgReport:
    """Return the report on the cfg `path`; keys that a job needs but a cfg may lack are listed apart.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    settings = read_settings(read_lines(path), base)
    missing = tuple(key for key in REQUIRED if settings.get(key) is None)
    _, found = judge_values(_completed(settings.values), base)
    judged = [_placed(item, settings) for item in found if item.message != MISSING or item.key not in missing]
    if settings.is_part:
        judged = [item for item in judged if item.line]  # the rest of the job is not here to be judged
    own = [named(item) for item in settings.diagnostics]
    return CfgReport(settings, tuple(sorted([*own, *judged], key=_order)), missing)


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with stand-ins for what is missing, so that only what is there is judged."""
    copy = deepcopy(values)
    for key in REQUIRED:
        section, _, name = key.partition(".")
        copy.setdefault(section, {}).setdefault(name, _STAND_IN)
    return copy


def _placed(item: Diagnostic, settings: Settings) -> Diagnostic:
    place = find_place(settings, item.key)
    line, column = (place.line, place.column) if place else (None, None)
    return replace(item, file=settings.file, line=line, column=column)


def find_place(settings: Settings, key: str) -> Place | None:
    """Return where the dotted `key` stands: its value, the nearest one above it, or the section that it belongs to."""
    parts = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    for end in range(len(parts), 1, -1):
        if parts[:end] in settings.places:
            return settings.places[parts[:end]]
    row = mapping.by_target(key)
    return settings.sections.get(row.section if row else str(parts[0]))


def lacking(settings: Settings, key: str) -> Diagnostic:
    """Return the error that the dotted `key` is not in the cfg, at the section where it would stand."""
    row = mapping.by_target(key)
    place = find_place(settings, key)
    cure = f"add '{row.name} = ...' to [{row.section}]" if row else ""
    return Diagnostic(
        MISSING,
        key=key,
        suggestion=cure,
        file=settings.file,
        line=place.line if place else None,
        column=place.column if place else None,
    )


def _order(item: Diagnostic) -> tuple[int, int]:
    return item.line or 0, item.column or 0
