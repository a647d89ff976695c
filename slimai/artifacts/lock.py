"""One run a folder: a lock file that names its holder and that a killed process leaves open."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError.at(str(folder), f"cannot be written: {reason}", key="path.output_dir") from None
    try:
        _take(handle, folder)
        _write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
        _write(handle, "")
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError.at(
            str(folder),
            f"another run works in this folder ({_holder(handle)})",
            key="path.output_dir",
            cure="wait for it, or give another path.output_dir",
        ) from None


def _holder(handle: int) -> str:
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        return f"pid {int(holder['pid'])} on host {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said its pid"


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)
