"""The lines of a legacy ``.cfg`` file, each with its place; nothing is interpreted beyond that.

Grammar (real files are looser than ``configparser`` allows)::

    [section]            # a section may come back later in the file
    key = value          # blanks and full-width blanks around both are padding
    key =                # an empty value
    key = "first line    # a quoted value may run over several lines
    last line"

A comment begins with ``#`` or ``;`` at the start of a line, or after a blank inside one. Without a blank before
it, or inside brackets that close on the same line, the character belongs to the value: ``anchors=[10:14;23:27]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimai.encodings import CURE, decoded
from slimai.errors import Diagnostic, InputError

MAX_BYTES = 1 << 20
"""A larger file is no configuration; the limit keeps memory bounded."""

BLANKS = " \t\u00a0\u3000\u200b\ufeff"
"""Blanks that editors for Chinese text leave around keys and values, beside the usual two."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_HEADER = re.compile(r"\[([^\[\]]*)(\]?)")
_NEXT_ITEM = re.compile(rf"[{BLANKS}]*(?:\[[a-z_]+\][{BLANKS}]*$|[A-Za-z_]\w*[{BLANKS}]*=)")
_FULL_WIDTH = {"＝": "=", "［": "[", "＃": "#", "；": ";"}


@dataclass(frozen=True)
class Place:
    """A line and column, both counted from 1; the column counts characters, not bytes."""

    line: int
    column: int


@dataclass(frozen=True)
class Comment:
    """A comment on a line of its own, without its marker."""

    text: str
    place: Place


@dataclass(frozen=True)
class Header:
    """A ``[section]`` line; `name` is as written."""

    name: str
    place: Place
    comment: str = ""


@dataclass(frozen=True)
class Entry:
    """A ``key = value`` line; `key` is as written, `section` the last header above it ('' before the first)."""

    section: str
    key: str
    value: str
    place: Place
    value_place: Place
    comment: str = ""


Item = Comment | Header | Entry


@dataclass(frozen=True)
class CfgLines:
    """The items of one file in order, and the lines that are none of them."""

    file: str
    items: tuple[Item, ...]
    problems: tuple[Diagnostic, ...]

    @property
    def entries(self) -> Iterator[Entry]:
        """Yield the ``key = value`` items."""
        return (item for item in self.items if isinstance(item, Entry))


def read_lines(path: Path) -> CfgLines:
    """Return the items of the file `path` (UTF-8 with or without BOM, UTF-16 with BOM, or GBK).

    Raises:
        InputError: the file cannot be read, is larger than `MAX_BYTES`, or is not text.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError(Diagnostic(f"cannot read the cfg file: {cause}", file=str(path))) from None
    if len(data) > MAX_BYTES:
        line = data.count(b"\n") + 1
        message = f"is larger than {MAX_BYTES} bytes, which end in line {line}: no cfg file is"
        raise InputError(Diagnostic(message, suggestion="take out what is no setting", file=str(path), line=line))
    return lex(decode(data, str(path)), str(path))


def decode(data: bytes, file: str) -> str:
    """Return the text of `data`; `file` is for the message.

    Raises:
        InputError: the bytes are neither UTF-8, UTF-16 with BOM, nor GBK that spells Chinese text.
    """
    try:
        return decoded(data)
    except ValueError as error:
        raise InputError.at(file, str(error), cure=CURE) from None


def lex(text: str, file: str) -> CfgLines:
    """Return the items of `text`; `file` names it in the problems."""
    return _Lexer(text, file).run()


class _Lexer:
    """One pass over the lines; `number` is the index of the next one."""

    def __init__(self, text: str, file: str) -> None:
        self.lines = _LINE_END.split(text)
        self.file = file
        self.number = 0
        self.section = ""
        self.items: list[Item] = []
        self.problems: list[Diagnostic] = []

    def run(self) -> CfgLines:
        while self.number < len(self.lines):
            line = self.lines[self.number]
            self.number += 1
            body = line.lstrip(BLANKS)
            if body.strip(BLANKS):
                self._line(line, body, Place(self.number, len(line) - len(body) + 1))
        return CfgLines(self.file, tuple(self.items), tuple(self.problems))

    def _line(self, line: str, body: str, place: Place) -> None:
        if body[0] in "#;":
            self.items.append(Comment(_comment_text(body), place))
        elif body[0] == "[":
            self._header(body, place)
        elif "=" in body:
            self._entry(line, body, place)
        else:
            self._no_entry(body, place)

    def _header(self, body: str, place: Place) -> None:
        match = _HEADER.match(body)
        name = match[1].strip(BLANKS) if match else ""
        rest, comment = split_comment(body[match.end() :] if match else body)
        if match is None or not match[2]:
            name = re.split(rf"[{BLANKS}#;=]", name)[0]
            self._problem(place, "the section header has no ']'", body.rstrip(BLANKS), f"write [{name}]")
        elif rest:
            self._problem(place, "text after the section header", rest, "put it on a line of its own")
        self.section = name
        self.items.append(Header(name, place, comment))

    def _entry(self, line: str, body: str, place: Place) -> None:
        left, _, _ = body.partition("=")
        key = left.strip(BLANKS)
        start = place.column + len(left)  # 0-based index of the character after '='
        if not key:
            self._problem(place, "a value without a key", body.rstrip(BLANKS), "write 'key = value'")
            return
        raw = line[start:]
        value_place = Place(place.line, start + len(raw) - len(raw.lstrip(BLANKS)) + 1)
        value, comment = self._value(raw.strip(BLANKS), raw, value_place)
        self.items.append(Entry(self.section, key, value, place, value_place, comment))

    def _value(self, stripped: str, raw: str, place: Place) -> tuple[str, str]:
        """Return the value and the inline comment of the text after '='."""
        if stripped[:1] in {'"', "'"}:
            quoted = _closed_quote(stripped)
            if quoted is not None:
                return quoted
            if stripped[0] == '"' and '"' not in stripped[1:]:
                return self._multi_line(stripped[1:], place)
        return split_comment(raw)

    def _multi_line(self, first: str, place: Place) -> tuple[str, str]:
        """Return a quoted value that goes on over the next lines, and move behind it."""
        parts = [first]
        while self.number < len(self.lines) and not _NEXT_ITEM.match(self.lines[self.number]):
            inside, closed, after = self.lines[self.number].partition('"')
            self.number += 1
            parts.append(inside)
            if closed:
                rest, comment = split_comment(after)
                if rest:
                    self._problem(
                        Place(self.number, len(inside) + 2), "text after the closing quote", rest, "remove it"
                    )
                return _joined(parts), comment
        self._problem(place, "the quoted value has no closing '\"'", '"' + first, "end it with '\"'")
        return _joined(parts), ""

    def _no_entry(self, body: str, place: Place) -> None:
        wide = next((char for char in body if char in _FULL_WIDTH), None)
        cure = "write 'key = value', or begin the line with '#'"
        if wide:
            cure = f"the full-width '{wide}' is not '{_FULL_WIDTH[wide]}'; type it in half-width"
        elif ":" in body:
            cure = "write 'key = value' with '=', not ':'"
        self._problem(place, "the line is neither a [section] nor 'key = value'", body.rstrip(BLANKS), cure)

    def _problem(self, place: Place, message: str, value: str, cure: str) -> None:
        self.problems.append(
            Diagnostic(message, value=value, suggestion=cure, file=self.file, line=place.line, column=place.column)
        )


def split_comment(text: str) -> tuple[str, str]:
    """Return the value part of `text` without padding, and its inline comment ('' when there is none)."""
    depth, last = 0, text.rfind("]")  # a bracket that never closes protects nothing
    for index, char in enumerate(text):
        depth = 0 if index > last else max(0, depth + (char == "[") - (char == "]"))
        if char in "#;" and depth == 0 and (index == 0 or text[index - 1] in BLANKS):
            return text[:index].strip(BLANKS), _comment_text(text[index:])
    return text.strip(BLANKS), ""


def _closed_quote(text: str) -> tuple[str, str] | None:
    """Return the value between matching quotes and the comment behind it, or None when it is not such a value."""
    end = text.find(text[0], 1)
    if end < 0:
        return None
    rest, comment = split_comment(text[end + 1 :])
    return None if rest else (text[1:end], comment)


def _joined(parts: list[str]) -> str:
    return "\n".join(line for line in (part.strip(BLANKS) for part in parts) if line)


def _comment_text(text: str) -> str:
    return text.lstrip("#;").strip(BLANKS)
