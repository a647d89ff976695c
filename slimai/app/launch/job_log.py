"""What a job leaves about itself in its folder: `slimai.log`, and `status.json` in the state folder."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from slimai.artifacts.atomic import write_text
from slimai.search.events import Reporter, Stage

LOG, STATUS = "slimai.log", ".slimai/status.json"


State = Literal["done", "missed", "failed", "invalid", "interrupted"]


@dataclass(frozen=True)
class Status:
    """How a job ended: `missed` is done, but a stated bound is not kept.

    key: identifies what it computes. score: of its best setting, None when it has none.
    """

    status: State
    key: str
    overrides: tuple[str, ...] = ()
    score: float | None = None
    message: str = ""

    @property
    def finished(self) -> bool:
        """Whether the job came to its end, whatever it found."""
        return self.status in ("done", "missed")


def write_status(folder: Path, status: Status) -> None:
    """Write the status into the folder of the job; a status that cannot be written is said and stops nothing."""
    try:
        write_text(folder / STATUS, json.dumps(asdict(status), indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        sys.stderr.write(f"warning: {folder / STATUS}: the status cannot be written: {error.strerror}\n")


def read_status(folder: Path) -> Status | None:
    """Return the status of the job in `folder`, or None when there is none that can be read."""
    try:
        data = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        return Status(data["status"], data["key"], tuple(data["overrides"]), data["score"], data["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_status(folder: Path) -> None:
    """Remove the status of an earlier run: a job that is killed leaves none."""
    (folder / STATUS).unlink(missing_ok=True)


class _LogFile(logging.FileHandler):
    """Makes the folder with the first message; a log that cannot be written is said once and stops no job."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="a", encoding="utf-8", errors="backslashreplace", delay=True)
        self._path, self._lost = path, False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if self._lost:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            super().emit(record)
        except OSError as error:
            self._lost = True
            sys.stderr.write(f"warning: {self._path}: the log cannot be written: {error.strerror}\n")


@contextmanager
def job_log(folder: Path) -> Iterator[logging.Logger]:
    """Yield the logger of a job; what it and Python's warnings say goes to `slimai.log` in `folder`.

    The file is made with the first message.
    """
    handler = _LogFile(folder / LOG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("slimai.job")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield logger
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)
        handler.close()


class LoggedReporter:
    """Passes progress on to `inner` and writes lines and warnings into the log of the job."""

    def __init__(self, inner: Reporter, logger: logging.Logger) -> None:
        self._inner, self._logger = inner, logger

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stage]:
        """Yield the inner reporter's stage; its end is logged."""
        with self._inner.stage(title, total) as stage:
            yield stage
        self._logger.info("%s: done (%d)", title, total)

    def line(self, text: str) -> None:
        """Say and log one line."""
        self._inner.line(text)
        self._logger.info("%s", text)

    def warn(self, text: str) -> None:
        """Say and log one warning."""
        self._inner.warn(text)
        self._logger.warning("%s", text)
