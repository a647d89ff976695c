"""Calls into a plug-in: its arguments by name, its mistakes with file and line."""

from __future__ import annotations

import ast
import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slimai.errors import SlimaiError
from slimai.metrics.vendor.said import kept_apart

# module name of a plug-in -> its file
FILES: dict[str, str] = {}
METHODS = ("init_params", "load_and_analysis", "accumulate_results")

__all__ = ["FILES", "METHODS", "PluginError", "analyse", "guarded", "place_of"]


class PluginError(SlimaiError):
    """A plug-in failed; the message names its file and line."""


def place_of(thing: Any) -> str:
    """Return ``file:line`` of a class or function, the file of a module."""
    file = _file_of(thing)
    if isinstance(thing, type):
        return f"{file}:{_class_line(file, thing.__name__)}"
    code = getattr(thing, "__code__", None)
    return file if code is None else f"{file}:{code.co_firstlineno}"


def _file_of(thing: Any) -> str:
    code = getattr(thing, "__code__", None)
    if code is not None:
        return str(code.co_filename)
    # a plug-in's module is not in sys.modules, where inspect would look for it
    return FILES.get(getattr(thing, "__module__", "")) or getattr(inspect.getmodule(thing), "__file__", None) or "?"


def _class_line(file: str, name: str) -> int:
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return 1
    return next((node.lineno for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name), 1)


def guarded(call: Callable[[], Any], what: str, source: Any) -> Any:
    """Return what `call` returns; what it raises becomes a PluginError with the plug-in's file and line.

    What it prints goes to the log.
    """
    try:
        with kept_apart():
            return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = _failing_line(error, source)
        text = str(error).strip() or "no message"
        kind = "" if isinstance(error, SlimaiError) else f"{type(error).__name__}: "
        raise PluginError(f"{where}: {what} failed: {kind}{text}") from error


def _failing_line(error: BaseException, source: Any) -> str:
    """Return ``file:line`` of the innermost frame inside the plug-in's own file."""
    file = _file_of(source)
    if isinstance(error, SyntaxError) and _same(error.filename or "", file):
        return f"{file}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _same(frame.filename, file)]
    return f"{file}:{frames[-1].lineno}" if frames else place_of(source)


def _same(one: str, other: str) -> bool:
    return bool(other) and Path(one) == Path(other)


def analyse(metric: Any, blobs: str, images: Any, known: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the numbers of `metric.load_and_analysis(blobs, images, ...)`; at least one, all finite.

    known: further values that the method may ask for by the name of its parameter.
    """
    method = metric.load_and_analysis
    arguments = _arguments(method, blobs, images, known)
    name = f"{type(metric).__name__}.load_and_analysis"
    returned = guarded(lambda: method(*arguments), name, type(metric))
    values = returned if isinstance(returned, tuple | list | np.ndarray) else (returned,)
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise PluginError(f"{place_of(method)}: {name} must return one or several finite numbers (got {returned!r})")
    return numbers


def _arguments(method: Any, blobs: str, images: Any, known: Mapping[str, Any]) -> list[Any]:
    given: list[Any] = [blobs, images]
    parameters = list(inspect.signature(method).parameters.values())
    wanted = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    for parameter in wanted[2:]:
        if parameter.default is not parameter.empty:
            break
        if parameter.name not in known:
            raise PluginError(
                f"{place_of(method)}: load_and_analysis asks for '{parameter.name}', which slimai does not know; "
                f"it gives blobsfile, imglist, {', '.join(known)}"
            )
        given.append(known[parameter.name])
    return given
