"""Loading the class of a plug-in file, and the folders that such files lie in."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from slimai.errors import InputError
from slimai.metrics.vendor.base import REGISTERED
from slimai.metrics.vendor.calls import FILES, guarded
from slimai.metrics.vendor.modules import vendor_modules
from slimai.schema.plugin_places import PLUGIN_FOLDER, PLUGIN_VARIABLE
from slimai.suggest import suggest

FOLDER, VARIABLE = PLUGIN_FOLDER, PLUGIN_VARIABLE

__all__ = ["FOLDER", "VARIABLE", "load_class"]


def load_class(file: Path, name: str) -> type:
    """Return the class `name` of a plug-in file: registered under that name, else defined under it."""
    with vendor_modules(file.parent):
        REGISTERED.clear()
        module = _execute(file, name)
        found = REGISTERED.get(name) or getattr(module, name, None)
        others = [*REGISTERED, *_own_classes(module)]
        REGISTERED.clear()
    if not isinstance(found, type):
        raise InputError.at(str(file), f"no metric class '{name}'{suggest(name, others) if others else ''}")
    return found


def _execute(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"slimai_plugin_{name}", file)
    if spec is None or spec.loader is None:
        raise InputError.at(str(file), "not a Python file")
    module = importlib.util.module_from_spec(spec)
    FILES[spec.name] = str(file)
    sys.modules[spec.name] = module  # dataclasses look their module up while they are made
    try:
        guarded(lambda: spec.loader.exec_module(module), "loading the plug-in", module)  # type: ignore[union-attr]
    finally:
        sys.modules.pop(spec.name, None)
    return module


def _own_classes(module: ModuleType) -> list[str]:
    return [
        key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
    ]
