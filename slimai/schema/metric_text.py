"""The legacy one-line `metric_input`: parsed into the values of a spec model, and written from one.

``/voc/annotations center=True,anchors=[81:82;135:169][10:14]``: items separated by spaces, positional
ones first; options separated by commas. Nothing in it is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slimai.number_text import shortest
from slimai.schema.base import wrong
from slimai.schema.metric_specs import MapResize, MetricSpec

IMAGE_LAYOUTS = ("chw", "whc", "cwh", "hwc")
_OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_RESIZE = {"resizeNN": "NN", "resizeBi": "Bi", "resizeCu": "Cu"}


def parse_metric_input(text: str, positional: Sequence[str], *, bare: bool = False) -> dict[str, Any]:
    """Return the mapping that the string `text` means.

    `positional` names the leading items. `bare` allows the words of the image metrics
    (``use_float``, a layout). Values stay text where the spec model converts them.

    Raises:
        PydanticCustomError: an item is not of the form ``name=value``, or is given twice; a blank is among the options,
            which only the image metrics have.
    """
    words = text.split()
    heads: list[str] = []
    while words and len(heads) < len(positional) and not _OPTION.match(words[0]):
        heads.append(words.pop(0))
    if len(words) > 1 and not bare:
        raise wrong(f"a blank inside the options: '{' '.join(words)}'", "separate them with commas alone")
    found: dict[str, Any] = dict(zip(positional, heads, strict=False))
    for name, value in _options(words, bare=bare):
        if name in found:
            raise wrong(f"'{name}' is given twice in '{text}'")
        found[name] = value
    return found


def _options(words: Sequence[str], *, bare: bool) -> Iterator[tuple[str, Any]]:
    for item in (part for word in words for part in _comma_parts(word)):
        name, equals, value = item.partition("=")
        if not equals and bare and item == "use_float":
            yield "use_float", True
        elif not equals and bare and item.lower() in IMAGE_LAYOUTS:
            yield "layout", item.lower()
        elif not equals:
            raise wrong(f"'{item}' is not of the form name=value", "options are separated by commas, without spaces")
        elif name in _RESIZE:
            yield "resize", {"method": _RESIZE[name], "size": value}
        else:
            yield name, _READERS.get(name, str)(value)


def _comma_parts(word: str) -> Iterator[str]:
    """Yield the parts of `word` between commas outside brackets."""
    depth, start = 0, 0
    for index, sign in enumerate(word):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth <= 0:
            if word[start:index]:
                yield word[start:index]
            start = index + 1
    if word[start:]:
        yield word[start:]


def _labels(text: str) -> list[str]:
    if not (text.startswith("[") and text.endswith("]")):
        raise wrong(f"voc_labels is a list in brackets, not '{text}'", "like [person;car]")
    return [part.strip() for part in text[1:-1].split(";") if part.strip()]


def _anchor_text(text: str) -> list[list[list[float]]]:
    if not re.fullmatch(r"(\[[^\[\]]+\])+", text):
        raise wrong(f"anchors are brackets of w:h pairs, not '{text}'", "like [81:82;135:169][10:14;23:27]")
    return [[_pair(pair) for pair in body.split(";") if pair] for body in re.findall(r"\[([^\[\]]+)\]", text)]


def _pair(text: str) -> list[float]:
    parts = text.split(":")
    try:
        width, height = (float(part) for part in parts)
    except ValueError:
        raise wrong(f"'{text}' is not a w:h pair of numbers", "like 81:82") from None
    return [width, height]


def _none(text: str) -> str | None:
    return None if text in ("", "None", "none", "null") else text


_READERS: dict[str, Callable[[str], Any]] = {"voc_labels": _labels, "anchors": _anchor_text, "custom_pp": _none}


def format_metric_input(spec: MetricSpec) -> str:
    """Return the legacy string of `spec`: positional items, then the options that differ from their default."""
    heads = [_text(getattr(spec, name)) for name in spec.positional if getattr(spec, name) is not None]
    fields = type(spec).model_fields
    options = [
        _option(name, value)
        for name in fields
        if name not in spec.positional and (value := getattr(spec, name)) != fields[name].default
    ]
    separator = " " if "use_float" in fields else ","
    return " ".join([*heads, separator.join(options)]).strip()


def _option(name: str, value: Any) -> str:
    if name == "use_float":
        return name
    if name == "layout" and value in IMAGE_LAYOUTS:
        return str(value)
    if isinstance(value, MapResize):
        return f"resize{value.method}={_pair_text(value.size)}"
    return f"{name}={_WRITERS.get(name, _text)(value)}"


def _pair_text(pair: Sequence[float]) -> str:
    return ":".join(_text(number) for number in pair)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return shortest(value)
    return value.as_posix() if isinstance(value, Path) else str(value)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "strides": lambda strides: f"[{';'.join(map(str, strides))}]",
    "ignore": lambda labels: f"[{';'.join(map(str, labels))}]",
    "input_size": _pair_text,
    "voc_labels": lambda labels: f"[{';'.join(labels)}]",
    "anchors": lambda brackets: "".join(f"[{';'.join(map(_pair_text, bracket))}]" for bracket in brackets),
}
