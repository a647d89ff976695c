"""What a cfg says, in the new terms: nested values, where each came from, comments, and what was found wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from slimai.config.legacy.lexer import Place
from slimai.config.legacy.yaml_text import Comments
from slimai.errors import Diagnostic

Dotted = tuple[str | int, ...]
"""A path into the settings: ('quantization', 'accuracy_level', 1)."""

Rebase = Callable[[str], str]


@dataclass
class Settings:
    """The settings of one cfg file while it is read.

    places: where each value stands. sections: where each legacy section begins first.
    """

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Dotted, Place] = field(default_factory=dict)
    sections: dict[str, Place] = field(default_factory=dict)
    comments: Comments = field(default_factory=Comments)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def set(self, target: str, value: Any, place: Place) -> None:
        """Set the dotted field `target`."""
        section, _, name = target.partition(".")
        self.values.setdefault(section, {})[name] = value
        self.places[section, name] = place

    def get(self, target: str) -> Any:
        """Return the dotted field `target`, or None when it is not set."""
        section, _, name = target.partition(".")
        return self.values.get(section, {}).get(name)

    def remove(self, target: str) -> None:
        """Forget the dotted field `target`; a section that becomes empty goes too."""
        section, _, name = target.partition(".")
        self.values.get(section, {}).pop(name, None)
        if not self.values.get(section, True):
            del self.values[section]

    def report(
        self,
        severity: Literal["error", "warning"],
        place: Place | None,
        message: str,
        *,
        key: str = "",
        value: Any = ...,
        cure: str = "",
    ) -> None:
        """Add a diagnostic at `place`."""
        given = {} if value is ... else {"value": value}
        line, column = (place.line, place.column) if place else (None, None)
        self.diagnostics.append(
            Diagnostic(
                message,
                key=key,
                suggestion=cure,
                file=self.file,
                line=line,
                column=column,
                severity=severity,
                **given,
            )
        )

    @property
    def failed(self) -> bool:
        """Whether an error was found."""
        return any(item.severity == "error" for item in self.diagnostics)

    @property
    def is_part(self) -> bool:
        """Whether the file is only a part of a configuration: it names neither folders nor a network."""
        return not {"path", "network"} & set(self.sections)


def shift(place: Place, offset: int) -> Place:
    """Return the place `offset` characters further right."""
    return Place(place.line, place.column + offset)


def rebase_from(folder: Path, base: Path | None) -> Rebase:
    """Return the function that turns a path written relative to `folder` into one relative to `base`.

    With `base` None the results are absolute. Absolute paths, and those from ``~``, stay as they are.
    """

    def rebase(text: str) -> str:
        if not text or text.startswith("~") or Path(text).is_absolute():
            return text
        found = os.path.normpath(Path(os.path.abspath(folder)) / text)  # noqa: PTH100 - links stay as written
        return found if base is None else _plain_name(Path(os.path.relpath(found, base)), Path(found))

    return rebase


class Relative:
    """Writes absolute paths into the cfg file `target`: relative to it where both lie below the current folder."""

    def __init__(self, target: Path) -> None:
        self.folder = Path(os.path.abspath(target)).parent  # noqa: PTH100 - links stay as written
        self.root = Path.cwd()

    def cfg(self, path: Path) -> str:
        """Return `path` as a key of the cfg holds it."""
        if path.is_relative_to(self.root) and self.folder.is_relative_to(self.root):
            return _plain_name(Path(os.path.relpath(path, self.folder)), path)
        return path.as_posix()

    def inside(self, path: Path, folder: Path | None) -> str:
        """Return `path` as a key holds it that starts from `folder`, itself a key of the cfg (None: from the cfg)."""
        if folder is None:
            return self.cfg(path)
        return _plain_name(path.relative_to(folder), path) if path.is_relative_to(folder) else path.as_posix()


def _plain_name(relative: Path, absolute: Path) -> str:
    """Return `relative`, or `absolute` where the former looks like a home folder, a comment, a quote or Hydra's ???."""
    text = relative.as_posix()
    return absolute.as_posix() if text[0] in "~#;\"'" or text == "???" else text
