"""Where what other libraries keep between runs is written: compiled kernels, font lists. Nowhere else below home.

The first that can be written of: ``$SLIMAI_CACHE``, else ``slimai`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; the
`.cache` of the run. Without either nothing is kept, and the run goes on.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

CACHE = "SLIMAI_CACHE"
_OFFERED = "SLIMAI_RUN_CACHE"  # in the environment, so that workers find it too


def default_cache_dir() -> Path | None:
    """Return ``$SLIMAI_CACHE``, or slimai's folder in the user's cache directory; None when there is no home."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "slimai"
    try:
        return Path.home() / ".cache" / "slimai"
    except RuntimeError:  # neither HOME nor an entry of the user
        return None


def offer(folder: Path) -> None:
    """Let the run's own `folder` take what the user's cache cannot; it is made only when it is needed."""
    os.environ[_OFFERED] = str(folder.absolute())


def cache_folder(name: str) -> Path | None:
    """Return the folder `name` of the first cache that can be written, made; None when there is none."""
    offered = os.environ.get(_OFFERED)
    bases = (default_cache_dir(), Path(offered) if offered else None)
    return next((base / name for base in bases if base is not None and can_write(base / name)), None)


def can_write(folder: Path) -> bool:
    """Return whether files can be made in `folder`, which is made when it is absent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, ValueError):
        return False
