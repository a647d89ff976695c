"""Standard streams that end no job: closed, broken or full ones lose what is said, not what is computed."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

_STANDARD = (0, 1, 2)


class _Raw(io.RawIOBase):
    """A file descriptor whose first error is kept and whose later writes are dropped."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.handle

    def isatty(self) -> bool:
        return os.isatty(self.handle)

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        if self.error is None:
            try:
                return os.write(self.handle, data)
            except BlockingIOError:  # a pipe that was made not to wait
                select.select([], [self.handle], [])
                return 0
            except OSError as error:
                self.error = error
        return len(data)


class Streams:
    """Standard output and error of this process, guarded; `lost` says what was not delivered."""

    def __init__(self) -> None:
        for handle in _STANDARD:  # else a result file would become standard output
            try:
                os.fstat(handle)
            except OSError:
                os.dup2(os.open(os.devnull, os.O_RDWR), handle)
        self._output, self._error = _Raw(1), _Raw(2)
        sys.stdout = _text(self._output, sys.stdout, by_line=self._output.isatty())
        sys.stderr = _text(self._error, sys.stderr, by_line=True)

    def lost(self) -> str:
        """Write out what waits; return why standard output did not take all of it, or an empty string.

        A reader that has gone (``| head``) wanted no more: that is no loss.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        error = self._output.error
        return "" if error is None or error.errno == errno.EPIPE else error.strerror or str(error)


def _text(raw: _Raw, before: TextIO | None, *, by_line: bool) -> TextIO:
    encoding = "utf-8" if before is None else before.encoding
    writer = io.BufferedWriter(raw)  # type: ignore[type-var]
    return io.TextIOWrapper(writer, encoding=encoding, errors="backslashreplace", line_buffering=by_line)


def in_utf8(words: Sequence[str]) -> None:
    """Begin again in Python's UTF-8 mode where file names are ASCII: there no other name could be given or opened."""
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii", "646") and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"  # for the processes of the run too
        _again(words)


def _again(words: Sequence[str]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "slimai", *words])  # noqa: S606 - this program itself
