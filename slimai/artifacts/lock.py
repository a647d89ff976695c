"""One run a folder: a lock file that names its holder and that a killed process leaves open."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from slimai.errors import InputError

RUN = ".slimai.lock"
MULTIRUN = ".slimai-multirun.lock"


@contextmanager
def run_lock(folder: Path, name: str = RUN) -> Iterator[None]:
    """Hold the lock of `folder` (made when absent) inside the block.

    The operating system frees the lock with the process, so that a kill never leaves one behind; the
    file stays, empty, because removing it could split two later runs over two files.

    Raises:
        InputError: another run holds the lock (its pid and host are named), or the folder cannot be written.
    """
    path = folder / name
    lock = FileLock(path, blocking=False, mode=0o666)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError.at(
            str(folder),
            f"another run works in this folder ({_holder(path)})",
            key="path.output_dir",
            cure="wait for it, or give another path.output_dir",
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError.at(str(folder), f"cannot be written: {reason}", key="path.output_dir") from None
    try:
        path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
        yield
        path.write_text("", encoding="utf-8")
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"pid {int(holder['pid'])} on host {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said its pid"
