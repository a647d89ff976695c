"""What long work tells the outside: stages with progress, lines, warnings. No terminal code here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Stage(Protocol):
    """One piece of long work."""

    def advance(self, steps: int = 1) -> None:
        """Count finished steps."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar (score so far, best)."""


class Reporter(Protocol):
    """Receives the progress of a run."""

    def stage(self, title: str, total: int) -> AbstractContextManager[Stage]:
        """Return a context manager that yields the stage `title` of `total` steps."""

    def line(self, text: str) -> None:
        """Say one line."""

    def warn(self, text: str) -> None:
        """Say one warning."""


class _SilentStage:
    def advance(self, steps: int = 1) -> None:
        """Count nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


class Silent:
    """A reporter that says nothing; for the Python interface and for tests."""

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stage]:  # noqa: ARG002
        """Yield a stage that shows nothing."""
        yield _SilentStage()

    def line(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""
