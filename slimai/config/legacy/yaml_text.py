"""YAML text of nested settings, with comments, that Hydra reads back to the same values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Keys = tuple[str, ...]

_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_UNPRINTABLE = re.compile("[^\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTERPOLATION = re.compile(r"(\\*)\$\{")


@dataclass
class Comments:
    """Comment lines by the dotted place that they stand at, as tuples of keys."""

    above: dict[Keys, list[str]] = field(default_factory=dict)
    beside: dict[Keys, str] = field(default_factory=dict)
    after: dict[Keys, list[str]] = field(default_factory=dict)


def yaml_text(tree: Mapping[str, Any], comments: Comments) -> str:
    """Return `tree` as block YAML, two blanks a level, with `comments`, ending in a line end."""
    return "".join(line + "\n" for line in _lines(tree, comments, ()))


def _lines(tree: Mapping[str, Any], comments: Comments, path: Keys) -> Iterator[str]:
    indent = "  " * len(path)
    for key, value in tree.items():
        place = (*path, key)
        yield from comment_lines(comments.above.get(place, ()), indent)
        beside = comments.beside.get(place, "")
        tail = f"  # {_printable(beside)}" if beside else ""
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_scalar(key)}:{tail}"
            yield from _lines(value, comments, place)
            yield from comment_lines(comments.after.get(place, ()), indent + "  ")
        else:
            yield from _value_lines(f"{indent}{_scalar(key)}:", value, indent, tail)


def _value_lines(head: str, value: Any, indent: str, tail: str) -> Iterator[str]:
    """Yield one line, or one line an item where that would be too wide."""
    flow = _flow(value)
    if isinstance(value, list) and value and len(head) + len(flow) > _WIDTH:
        yield head + tail
        yield from (f"{indent}  - {_flow(item)}" for item in value)
    else:
        yield f"{head} {flow}{tail}"


def comment_lines(texts: list[str] | tuple[str, ...], indent: str = "") -> Iterator[str]:
    """Yield `texts` as comment lines; a text of several lines becomes several."""
    for text in texts:
        for line in text.split("\n"):
            yield f"{indent}# {_printable(line)}".rstrip()


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Return `value` in one line; a string that YAML 1.1 could take for something else is quoted."""
    if not isinstance(value, str):
        return _dumped(value).split("\n", 1)[0]
    text = escape_interpolation(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return _dumped(text, default_style='"', allow_unicode=True, width=float("inf"))


def _dumped(value: Any, **style: Any) -> str:
    text: str = yaml.safe_dump(value, **style)
    return text.rstrip("\n")


def escape_interpolation(text: str) -> str:
    r"""Return `text` such that OmegaConf reads ``${`` as characters: ``\${``, earlier backslashes doubled."""
    return _INTERPOLATION.sub(lambda match: str(match[1]) * 2 + r"\${", text)


def _printable(text: str) -> str:
    """Return `text` with the characters that YAML allows in no comment, and its line ends, made blanks."""
    return _UNPRINTABLE.sub(" ", text)
