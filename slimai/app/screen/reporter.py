"""Progress for people: a live bar on a terminal, plain lines elsewhere, silence on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slimai.language import label, translated
from slimai.search.events import Stage

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_INTERVAL_S = 10.0


class _BarStage:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


class PlainStage:
    """Says every PLAIN_INTERVAL_S seconds how far the work is, and how long it will take at this pace."""

    def __init__(
        self, title: str, total: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._total, self._say, self._clock = title, total, say, clock
        self._done, self._note = 0, ""
        self._begun = self._last = clock()

    def advance(self, steps: int = 1) -> None:
        """Count finished steps; say a line when it is time."""
        now = self._clock()
        self._done += steps
        if now - self._last >= PLAIN_INTERVAL_S:
            self._last = now
            left = (self._total - self._done) * (now - self._begun) / max(self._done, 1)
            told = f"{self._title}: {self._done}/{self._total}, {_duration(left)} left"
            self._say(f"{told}; {self._note}" if self._note else told)

    def note(self, text: str) -> None:
        """Keep what the next line ends with."""
        self._note = text


def _duration(seconds: float) -> str:
    """Return ``1:05`` or ``2:00:07``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ConsoleReporter:
    """Writes progress to standard error and results to standard output."""

    def __init__(self, *, quiet: bool = False, live: bool | None = None) -> None:
        from rich.console import Console  # noqa: PLC0415 - spares rich

        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal if live is None else live

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stage]:
        """Yield a stage shown as a bar with time left, or as plain lines."""
        if self._quiet or not self._live:
            started = time.monotonic()
            yield PlainStage(translated(title), total, self.line)
            self.line(f"{translated(title)}: done in {time.monotonic() - started:.1f} s")
            return
        with _bar(self._console) as progress:
            yield _BarStage(progress, progress.add_task(translated(title), total=total, note=""))

    def line(self, text: str) -> None:
        """Say one line unless quiet."""
        if not self._quiet:
            self._console.print(translated(text), markup=False)

    def warn(self, text: str) -> None:
        """Say one warning, even when quiet."""
        self._console.print(label("warning") + translated(text), markup=False, style="yellow" if self._live else None)

    def table(self, text: str) -> None:
        """Print the result table to standard output."""
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()


def _bar(console: Any) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - spares rich

    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )
