"""What a plug-in prints: it goes to the job's log, never into an answer on standard output."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

log = logging.getLogger("slimai.job.plugin")

__all__ = ["kept_apart", "shown"]

_SHOWN = False


@contextmanager
def kept_apart() -> Iterator[None]:
    """Send what is printed inside the block to the log of the job, or to standard error where there is none."""
    if _SHOWN:
        yield
        return
    lines = _Lines()
    try:
        with redirect_stdout(lines):
            yield
    finally:
        lines.end()


@contextmanager
def shown() -> Iterator[None]:
    """Leave what plug-ins print inside the block on standard output: a self-test is there to see it."""
    global _SHOWN  # noqa: PLW0603 - one setting a process, as standard output is
    before, _SHOWN = _SHOWN, True
    try:
        yield
    finally:
        _SHOWN = before


class _Lines(io.TextIOBase):
    """Passes whole lines on."""

    def __init__(self) -> None:
        self._rest = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Take text; lines that it ends are passed on."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def end(self) -> None:
        """Pass on a last line without its end."""
        if self._rest:
            self._say(self._rest)
        self._rest = ""

    def _say(self, line: str) -> None:
        if log.hasHandlers() and log.isEnabledFor(logging.INFO):
            log.info("plug-in: %s", line)
        elif sys.stderr is not None:
            sys.stderr.write(f"plug-in: {line}\n")
