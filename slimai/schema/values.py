"""Values that appear in several sections: paths, lists in one shape, sizes, bytes."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from slimai.schema.base import Int, Real, wrong
from slimai.schema.percent import base60_message

LONGEST_NAME = 255  # bytes, of Linux file systems
LONGEST_PATH = 3500  # bytes; with the names of results below it the system still takes it

NETWORK_CLASSES = ("Classification", "Detection", "Segmentation", "Other")
NetworkClass = Literal["Classification", "Detection", "Segmentation", "Other"]
InputLayout = Literal["NCHW", "NHWC", "NonImage"]
ChannelOrder = Literal["RGB", "BGR", "GRAY"]


def base_folder(info: ValidationInfo) -> Path:
    """Return the folder that relative paths start from: ``context["base"]``, else the current one."""
    return Path((info.context or {}).get("base") or Path.cwd())


def _absolute(path: Path, info: ValidationInfo) -> Path:
    return _normal(base_folder(info) / _expanded(path))


def _expanded(path: Path) -> Path:
    """Return the path with ``~`` and ``~user`` replaced by the home folder."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise wrong(f"There is no home folder '{path.parts[0]}'", "write the path in full") from None


def _normal(path: Path) -> Path:
    """Return the path without ``.`` and ``..`` parts; links are kept as the user wrote them."""
    return Path(os.path.normpath(path))


def _path_text(value: Any) -> Any:
    if not isinstance(value, str | Path):
        raise wrong("The path should be a text", "quote it when it looks like a number")
    if isinstance(value, str) and not value.strip():
        raise wrong("The path is empty", "name a file or folder, or leave the key out")
    if isinstance(value, str) and (value.strip()[0] in "“”‘’" or value.strip()[-1] in "“”‘’"):
        raise wrong("The path stands in full-width quotes", "take them away, or use half-width ones")
    if isinstance(value, str) and "\0" in value:
        raise wrong("The path holds a NUL character")
    _require_short(str(value))
    return value.strip() if isinstance(value, str) else value


def _require_short(path: str) -> None:
    """Raise for names that no file system takes, which would only be found when the file is looked for."""
    try:
        parts = [os.fsencode(part) for part in path.split("/")]
    except UnicodeEncodeError:
        raise wrong("The path holds letters that file names cannot have in this locale", "use UTF-8") from None
    if max(map(len, parts)) > LONGEST_NAME:
        raise wrong(f"A file name has at most {LONGEST_NAME} bytes", "shorten it")
    if sum(map(len, parts)) + len(parts) > LONGEST_PATH:
        raise wrong(f"A path has at most {LONGEST_PATH} bytes", "shorten it")


_PATH_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})
AnyPath = Annotated[
    Path,
    BeforeValidator(_path_text),
    AfterValidator(_expanded),
    PlainSerializer(str),
    _PATH_SCHEMA,
]
AbsPath = Annotated[Path, BeforeValidator(_path_text), AfterValidator(_absolute), PlainSerializer(str), _PATH_SCHEMA]


def listed(value: Any) -> Any:
    """Return a tuple: of the list, of the comma-separated string, or of the one value."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def one_or_list(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a value, a list of such values, or a comma-separated string."""
    separated = {"type": "string", "pattern": "^[^,]+(,[^,]+)*$"}
    forms: list[dict[str, Any]] = [dict(item), {"type": "array", "items": dict(item), "minItems": 1}]
    return {"anyOf": [*forms, separated] if item.get("type") in ("integer", "number") else forms}


def distinct(what: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return the check that a tuple is not empty and names nothing twice."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise wrong(f"The list of {what} is empty", f"name at least one of the {what}")
        doubles = sorted({str(value) for value in values if values.count(value) > 1})
        if doubles:
            raise wrong(f"{what} given twice: {', '.join(doubles)}", "name each once")
        return values

    return check


def _level(value: Any) -> int:
    text = value.strip() if isinstance(value, str) else value
    number = int(text) if isinstance(text, str) and re.fullmatch(r"[+-]?[0-9]{1,6}", text) else text
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 4:
        raise wrong("An accuracy level is an integer from 0 to 4", "a list searches over several: [1, 2, 3]")
    return number


Numbers = Annotated[
    tuple[Real, ...],
    BeforeValidator(listed),
    WithJsonSchema(one_or_list({"type": "number"})),
]
Levels = Annotated[
    tuple[Annotated[int, BeforeValidator(_level)], ...],
    BeforeValidator(listed),
    AfterValidator(distinct("accuracy levels")),
    WithJsonSchema(one_or_list({"type": "integer", "minimum": 0, "maximum": 4})),
]


def _size(value: Any) -> Any:
    """Return (width, height) of ``[w, h]`` or ``"w:h"``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise wrong(f"Input should be [width, height]; {base60_message(value)}", 'write [w, h] or "w:h"')
    if isinstance(value, str):
        value = value.split(":")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise wrong("Input should be [width, height]", 'write [w, h] or "w:h"')
    return tuple(value)


def _positive(pixels: int) -> int:
    if not 1 <= pixels <= 65536:
        raise wrong("A size is from 1 to 65536 pixels")
    return pixels


Pixels = Annotated[Int, AfterValidator(_positive)]
_PIXELS = {"type": "integer", "minimum": 1}
_SIZE_FORMS: list[dict[str, Any]] = [
    {"type": "array", "items": _PIXELS, "minItems": 2, "maxItems": 2},
    {"type": "string", "pattern": "^[0-9]+:[0-9]+$"},
]
Size = Annotated[tuple[Pixels, Pixels], BeforeValidator(_size), WithJsonSchema({"anyOf": _SIZE_FORMS})]

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{suffix}b": base**power
    for power, prefix in enumerate("kmgt", 1)
    for suffix, base in (("i", 1024), ("", 1000))
}


def _bytes(value: Any) -> Any:
    """Return bytes of ``4GiB``, ``500 MB`` or a plain number."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]*)\s*", value.lower())
    if found is None or found[2] not in _UNITS:
        raise wrong("Input should be an amount of memory", "write it like 4GiB, 500MB or in bytes")
    return int(float(found[1]) * _UNITS[found[2]])


Bytes = Annotated[
    Int,
    BeforeValidator(_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*([kKmMgGtT]?[iI]?[bB])?\s*$"},
            ]
        }
    ),
]


def _switch(value: Any) -> Any:
    """Return the truth value of its spellings (``True``, ``on``, ``no``), any other value as it is."""
    words = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


Switch = BeforeValidator(_switch)
Flag = Annotated[bool, Switch]


def _flag_or_path(value: Any, info: ValidationInfo) -> bool | Path:
    found = _switch(value)
    if isinstance(found, bool):
        return found
    if not isinstance(found, str | Path):
        raise wrong("The value should be true, false or the path of a file", "write true, false or a path")
    return _absolute(Path(_path_text(found)), info)


FlagOrPath = Annotated[
    bool | Path,
    BeforeValidator(_flag_or_path),
    PlainSerializer(lambda value: value if isinstance(value, bool) else str(value)),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}]}),
]
Auto = Annotated[Literal[True, False, "auto"], Switch]
