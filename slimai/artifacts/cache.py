"""Work that is done once for all runs: a folder of files named by the hash of what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from slimai.artifacts.atomic import PART


def content_key(*parts: object) -> str:
    """Return the sha256, in hex, of the parts: bytes as they are, mappings sorted, the rest as text."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else _text(part).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _text(part: object) -> str:
    if isinstance(part, Mapping):
        return repr(sorted((str(key), _text(value)) for key, value in part.items()))
    return repr(part)


def hash_files(paths: Iterable[Path]) -> str:
    """Return the sha256, in hex, of the contents of the files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class Cache:
    """Content-keyed files in one folder, which processes and machines may share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(
        self, key: str, suffix: str, compute: Callable[[], Any], save: Callable[[Any, Path], None], load: Any
    ) -> tuple[Any, bool]:
        """Return (value, whether it was found); what is absent is computed by one process while others wait.

        `save(value, path)` must write atomically; `load(path)` raises ValueError or OSError for a damaged file,
        which is then computed again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{key}{suffix}"
        with FileLock(str(path) + ".lock"):
            if path.exists():
                try:
                    return load(path), True
                except (ValueError, OSError, KeyError):
                    path.unlink(missing_ok=True)
            for part in self.folder.glob(f".{path.name}.*{PART}"):  # of a writer that was killed
                part.unlink(missing_ok=True)
            value = compute()
            save(value, path)
        return value, False
