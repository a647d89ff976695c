"""Runs a self-test script of the vendor's form, wherever it and its plug-ins lie."""

from __future__ import annotations

import ast
import builtins
import runpy
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slimai.errors import InputError, SlimaiError
from slimai.metrics.vendor.calls import PluginError
from slimai.metrics.vendor.loading import FOLDER, load_class
from slimai.metrics.vendor.metric_test import compute_metric
from slimai.metrics.vendor.modules import vendor_modules
from slimai.metrics.vendor.said import shown
from slimai.schema.plugin_places import plugin_path

__all__ = ["run_script"]


def run_script(script: Path) -> None:
    """Run the script as ``__main__``, with the vendor's modules and the plug-in folders in place.

    A name that it uses and nowhere defines, as the guide's own script does, is `compute_metric` or the class of a
    plug-in file of that name.

    Raises: InputError where it cannot be read; PluginError where it or a plug-in fails, with file and line.
    """
    places = plugin_places(script)
    with vendor_modules(*places):
        given: dict[str, Any] = {}
        for name in undefined_names(script):
            file = next((place / f"{name}.py" for place in places if (place / f"{name}.py").is_file()), None)
            if name == "compute_metric":
                given[name] = compute_metric
            elif file is not None and file.resolve() != script.resolve():
                given[name] = load_class(file, name)
        try:
            with shown():
                runpy.run_path(str(script), init_globals=given, run_name="__main__")
        except SlimaiError:
            raise
        except Exception as error:
            raise PluginError(_told(error, script, places)) from error


def plugin_places(script: Path) -> list[Path]:
    """Return where the script's plug-ins are looked for, in order."""
    folder = script.resolve().parent
    return list(dict.fromkeys([folder, folder / FOLDER.name, folder / FOLDER, Path.cwd() / FOLDER, *plugin_path()]))


def undefined_names(script: Path) -> list[str]:
    """Return the names that the script reads and never binds, in order. Raises InputError where it is no Python."""
    try:
        tree = ast.parse(script.read_bytes(), str(script))
    except OSError as error:
        raise InputError.at(str(script), f"the script cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise InputError.at(f"{script}:{line}" if line else str(script), f"not a Python script: {error}") from None
    bound = set(_bound(tree)) | set(vars(builtins)) | {"__file__", "__name__"}
    read = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return [name for name in dict.fromkeys(read) if name not in bound]


def _bound(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _told(error: Exception, script: Path, places: list[Path]) -> str:
    """Return one line about what a script raised: where, what, and where a missing plug-in was looked for."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == script]
    where = f"{script}:{frames[-1].lineno}" if frames else str(script)
    text = f"{where}: {type(error).__name__}: {str(error).strip() or 'no message'}"
    if isinstance(error, NameError | ImportError):
        text += "; plug-ins are looked for in " + ", ".join(map(str, places))
    return text
