"""The only door of numba's compiler: machine code is kept where it can be written, or not kept.

Kept code lies in ``__pycache__`` beside the source, like Python's own, where the installation can be written; else in
the folder `numba` of `cache_folders`. ``NUMBA_CACHE_DIR`` is obeyed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import config

from slimai.cache_folders import cache_folder, can_write

VARIABLE = "NUMBA_CACHE_DIR"
F = TypeVar("F", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[F], F]:
    """Return numba's decorator ``njit(**options)``, without its cache where no folder can be written."""

    def decorate(function: F) -> F:
        keeps = options.get("cache", False) and _kept(Path(function.__code__.co_filename).parent)
        compiled: F = numba.njit(**{**options, "cache": keeps})(function)
        return compiled

    return decorate


@cache
def _kept(source: Path) -> bool:
    """Return whether compiled code of the folder `source` can be kept, and tell numba where."""
    if os.environ.get(VARIABLE):
        return can_write(Path(os.environ[VARIABLE]))
    if can_write(source / "__pycache__"):
        return True
    folder = cache_folder("numba")
    if folder is None:
        return False
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined, unused-ignore]
    return True
