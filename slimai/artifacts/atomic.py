"""Files that are either whole or absent: write beside, flush to disk, then replace."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PART = ".part"


@contextmanager
def atomic_file(path: Path, mode: str = "w") -> Iterator[IO[str] | IO[bytes]]:
    r"""Yield a file that takes the place of `path` when the block ends without an error.

    Text is UTF-8 with ``\\n`` line ends. On an error the earlier file stays and the partial one is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else "\n"
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    try:
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; results are for whoever may read the folder
        os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def remove_partial(folder: Path, *, leave: Callable[[Path], bool] = lambda _: False) -> None:
    """Remove what killed writers left in `folder` and below; only for whoever alone writes there.

    leave: true for a folder below that others may be writing to.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not leave(Path(place) / name)]
        for name in files:
            if name.startswith(".") and name.endswith(PART):
                Path(place, name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically; what is no Unicode (bytes of a file name) is written as its escape."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_file(path, "wb") as file:
        file.write(data)  # type: ignore[arg-type]


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, by their path below `folder`, each atomically, in order of their names."""
    for name in sorted(files):
        write_bytes(folder / name, files[name])


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
