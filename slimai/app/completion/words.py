"""The words that may follow on a command line: commands, presets, keys and their values."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from slimai.config.dirs import bundled_conf, preset_names, user_conf
from slimai.schema.root import SlimaiConfig

FLAGS = ("--cfg", "--help", "--hydra-help", "--info", "--multirun", "--quiet", "--version", "-m")
GROUPS = ("model", "target")


def candidates(words: Sequence[str], commands: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """Return what the last of `words` may become, sorted; nothing where a file name is expected.

    words: those after the program's name, the last one as far as it is typed (it may be empty). options: the flags of
    the command that the first word names.
    """
    *before, current = words or [""]
    if before and before[0] in commands:
        found = [*_overrides(current), *options] if _takes_overrides(before[0]) or current.startswith("-") else []
    else:
        found = [*_overrides(current), *FLAGS, *([] if before else commands)]
    return sorted({item for item in found if item.startswith(current) and item != current})


def _takes_overrides(command: str) -> bool:
    return command in ("validate", "explain", "export")


def _overrides(current: str) -> Iterator[str]:
    prefix = current[: len(current) - len(current.lstrip("+~"))]
    key, sign, _ = current[len(prefix) :].partition("=")
    if sign:
        yield from (f"{prefix}{key}={value}" for value in _values(key))
        return
    yield from (f"{prefix or ('+' if group == 'model' else '')}{group}=" for group in GROUPS)
    yield from (f"{prefix}{item}" for item in _keys(key))


def _keys(typed: str) -> Iterator[str]:
    """Yield the sections, and behind a dot the keys of the section."""
    parents = typed.split(".")[:-1]
    models = _models_at(parents)
    head = "".join(f"{part}." for part in parents)
    for model in models:
        for name, info in model.model_fields.items():
            yield f"{head}{info.alias or name}{'.' if _sections(info.annotation) else '='}"


def _models_at(path: Sequence[str]) -> list[Any]:
    models: list[Any] = [SlimaiConfig]
    for part in path:
        fields = [field for model in models if (field := _field(model, part)) is not None]
        models = list(dict.fromkeys(inner for field in fields for inner in _sections(field)))
    return models


def _field(model: Any, name: str) -> Any:
    return next(
        (info.annotation for known, info in model.model_fields.items() if name in (known, info.alias)),
        None,
    )


def _sections(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [model for part in get_args(annotation) for model in _sections(part)]
    return []


def _values(key: str) -> Iterator[str]:
    if key == "model":
        yield from preset_names()
    elif key == "target":
        folders = [folder / "target" for folder in (user_conf(), bundled_conf()) if folder is not None]
        yield from sorted({path.stem for folder in folders for path in Path.glob(folder, "*.yaml")})
    else:
        *parents, name = key.split(".")
        for model in _models_at(parents):
            yield from _choices(_field(model, name))


def _choices(annotation: Any) -> Iterator[str]:
    """Yield the values of a closed choice, written as in YAML."""
    if annotation is bool:
        yield from ("true", "false")
    elif annotation is type(None):
        yield "null"
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(item.value) for item in annotation)
    elif get_origin(annotation) is Literal:
        yield from (str(value).lower() if isinstance(value, bool) else str(value) for value in get_args(annotation))
    elif get_origin(annotation) in (Union, types.UnionType, Annotated, tuple):
        for part in get_args(annotation):
            yield from _choices(part)
