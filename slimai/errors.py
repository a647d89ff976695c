"""What can go wrong, as values: the error family and the diagnostics that it carries.

Sentence form: ``<where>: <field or node>: <what is wrong> (got <value>); <what to do>``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_MISSED = 3  # done, but a bound that the user stated is not kept
EXIT_INTERRUPTED = 130

Severity = Literal["error", "warning"]


class _NoValue:
    """Stands for a value that was not given; there is one, in other processes too."""

    def __reduce__(self) -> str:
        return "_NO_VALUE"


_NO_VALUE: Any = _NoValue()


@dataclass(frozen=True)
class Diagnostic:
    """One mistake (or warning) with its place.

    `key` is the dotted configuration key, tensor or node; `value` is what was found there;
    `suggestion` says what to do. `line` and `column` count from 1.
    """

    message: str
    key: str = ""
    value: Any = field(default=_NO_VALUE, compare=False)
    suggestion: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    override: str | None = None
    severity: Severity = "error"

    @property
    def has_value(self) -> bool:
        """Whether a value was given (None is a value)."""
        return self.value is not _NO_VALUE

    @property
    def where(self) -> str:
        """Return ``file:line:column`` or ``override '...'``, or an empty string."""
        return self._where("override")

    def _where(self, override: str) -> str:
        if self.override is not None:
            return f"{override} '{_cut(self.override, 300)}'"
        parts = [self.file, self.line, self.column] if self.file else []
        return ":".join(str(part) for part in parts if part is not None)

    def __str__(self) -> str:
        """Return the one-line sentence."""
        return self.sentence()

    def sentence(self, override: str = "override", got: str = " (got {})", cure: str = "; {}") -> str:
        """Return the one-line sentence with the words that another language has for its frame."""
        head = ": ".join(part for part in (self._where(override), self.key, self.message) if part)
        value = got.format(_shown(self.value)) if self.has_value else ""
        return printable(head + value + (cure.format(self.suggestion) if self.suggestion else ""))

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that ``validate --format json`` prints."""
        data = asdict(self)
        data["value"] = self.value if self.has_value else None
        order = ("severity", "file", "line", "column", "override", "key", "message", "value", "suggestion")
        return {name: data[name] for name in order}


def printable(text: str, keep: str = "\n") -> str:
    """Return `text` with every character that a terminal would act on written as its escape; `keep` stays."""
    if text.isprintable():
        return text
    return "".join(item if item.isprintable() or item in keep else repr(item)[1:-1] for item in text)


def _shown(value: Any, limit: int = 120) -> str:
    try:
        return _cut(repr(value), limit)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of more than 4300 digits"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class SlimaiError(Exception):
    """The job failed; the message is for the user and needs no traceback."""

    exit_code = EXIT_FAILED


class InputError(SlimaiError):
    """The input is wrong: configuration, file or model. Carries every mistake found at once."""

    exit_code = EXIT_INVALID

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic] | str) -> None:
        if isinstance(diagnostics, str):
            diagnostics = Diagnostic(diagnostics)
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(str(item) for item in self.diagnostics))

    @classmethod
    def at(cls, where: str, message: str, value: Any = _NO_VALUE, *, cure: str = "", key: str = "") -> InputError:
        """Return the error of one mistake in the file, node or option `where`."""
        return cls(Diagnostic(message, key=key, value=value, suggestion=cure, file=where))


class UnsupportedError(InputError):
    """A model uses something that slimai does not do; the message names it."""
