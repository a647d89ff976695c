"""The reporter of a run that Python began without one: a notebook's line, a terminal's bar, or plain lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from slimai.app.screen.reporter import ConsoleReporter

if TYPE_CHECKING:
    from slimai.search.events import Reporter, Stage

REFRESH_S = 0.5


def default_reporter() -> Reporter:
    """Return what shows the progress where this process runs; with SLIMAI_QUIET only warnings."""
    quiet = os.environ.get("SLIMAI_QUIET", "") not in ("", "0")
    display = None if quiet else notebook_display()
    return ConsoleReporter(quiet=quiet) if display is None else NotebookReporter(display)


def notebook_display() -> Any:
    """Return IPython's ``display`` module where the code runs in a notebook's kernel, else None."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython import display  # type: ignore[import-not-found] # noqa: PLC0415 - it is there: the kernel is its own

    return display


class _Handle(Protocol):
    def update(self, shown: Any) -> None: ...


class _Line:
    """One line of a cell's output that tells how far a stage is."""

    def __init__(self, display: Any, title: str, total: int) -> None:
        self._display, self._title, self._total = display, title, total
        self._done, self._note, self._shown_at = 0, "", time.monotonic()
        self._handle: _Handle = display.display(self._html(), display_id=True)

    def advance(self, steps: int = 1) -> None:
        """Count finished steps; show them twice a second at most."""
        self._done += steps
        if time.monotonic() - self._shown_at >= REFRESH_S:
            self.show()

    def note(self, text: str) -> None:
        """Keep a short text that the next refreshing shows."""
        self._note = text

    def show(self) -> None:
        """Show the line as it is now."""
        self._shown_at = time.monotonic()
        self._handle.update(self._html())

    def _html(self) -> Any:
        most = max(self._total, 1)
        text = f"{escape(self._title)} {self._done}/{self._total} {escape(self._note)}"
        return self._display.HTML(f'<progress value="{self._done}" max="{most}"></progress> {text}')


class NotebookReporter:
    """Shows progress in a notebook: a bar a stage, lines and warnings as the cell's output."""

    def __init__(self, display: Any) -> None:
        """`display`: IPython's module of that name."""
        self._display = display

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stage]:
        """Yield a stage shown as a bar that is refreshed in its place."""
        line = _Line(self._display, title, total)
        yield line
        line.show()

    def line(self, text: str) -> None:
        """Print one line."""
        sys.stdout.write(text + "\n")

    def warn(self, text: str) -> None:
        """Show one warning."""
        self._display.display(self._display.HTML(f"<b>warning:</b> {escape(text)}"))
