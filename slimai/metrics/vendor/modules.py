"""Lets ``file_utils``, ``metric`` and ``metric_test`` be imported, for as long as a plug-in runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

NAMES = ("file_utils", "metric", "metric_test")
_LOCK = threading.RLock()

__all__ = ["NAMES", "vendor_modules"]


@contextmanager
def vendor_modules(*folders: Path | None) -> Iterator[None]:
    """Make the vendor's modules, and the modules in `folders`, importable inside the block only.

    `sys.modules` and `sys.path` are as before afterwards: modules of the same names come back, and what the
    plug-in imported from its own folders is forgotten (the plug-in keeps its references).
    """
    own = [folder for folder in folders if folder is not None]
    with _LOCK:
        before = dict(sys.modules)
        path = list(sys.path)
        for name in NAMES:
            sys.modules[name] = import_module(f"slimai.metrics.vendor.{name}")
        sys.path[:0] = map(str, own)
        try:
            yield
        finally:
            sys.path[:] = path
            for name, module in list(sys.modules.items()):
                if name in NAMES or (name not in before and _is_inside(module, own)):
                    del sys.modules[name]
            for name in NAMES:
                if name in before:
                    sys.modules[name] = before[name]


def _is_inside(module: ModuleType, folders: Sequence[Path]) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return False
    above = Path(file).resolve().parents
    return any(folder.resolve() in above for folder in folders)
