"""The language of what people read on a terminal or a page: English, or Chinese.

The program speaks English; this module turns a finished text into Chinese where it is shown. The catalogue is gettext's
(`locale/zh_CN/LC_MESSAGES/slimai.po`, compiled with ``python -m slimai.language_catalogue``). A message with values in
it is an entry with ``{}`` for each; it is found by the words between them, and the translation takes the values as
``{}`` in order, or as ``{0}``, ``{1}``. A text without an entry stays as it is. What programs read (JSON, SARIF, JUnit,
run.json, logs) never comes here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from slimai.errors import Diagnostic, InputError

CHOICE = "SLIMAI_LANG"
LANGUAGES = {"en": "en", "zh": "zh_CN"}
LOCALE, DOMAIN = Path(__file__).parent / "locale", "slimai"
_ASKED = (CHOICE, "LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides
# compiled on first use, which English has not
_FRAME = r"(.+?)(?: \(got (.*)\))?(?:; (.+))?"
_HOLE = r"\{(\d*)\}"


def language(environment: Mapping[str, str] = os.environ) -> str:
    """Return ``zh`` where SLIMAI_LANG, else LC_ALL, LC_MESSAGES or LANG begins with it, else ``en``."""
    asked = next((environment[name] for name in _ASKED if environment.get(name)), "")
    return "zh" if asked.lower().startswith("zh") else "en"


def translated(text: str, to: str | None = None) -> str:
    """Return the text, each line of it for itself, in the language `to` (default: that of the environment)."""
    to = to or language()
    if to == "en" or not text:
        return text
    whole = _catalogue(to).find(text)
    return whole if whole is not None else "\n".join(_line(line, to) for line in text.split("\n"))


def known(text: str, to: str) -> bool:
    """Return whether the catalogue of `to` has the text, whatever values are in it."""
    return _catalogue(to).find(text.strip()) is not None


def shown(item: Diagnostic) -> str:
    """Return the sentence of a diagnostic in the language of the environment: what its fields say, each for itself."""
    to = language()
    if to == "en":
        return str(item)
    foreign = replace(item, message=translated(item.message, to), suggestion=translated(item.suggestion, to))
    return foreign.sentence("覆盖项", "（得到 {}）", "；{}")


def sentence(error: Exception) -> str:
    """Return what an error says, in the language of the environment."""
    if isinstance(error, InputError):
        return "\n".join(map(shown, error.diagnostics))
    return translated(str(error))


def labelled(item: Diagnostic) -> str:
    """Return ``error: ...`` or ``warning: ...`` with the sentence of a diagnostic."""
    return label(item.severity) + shown(item)


def label(word: str) -> str:
    """Return the word with its colon, as ``error: `` or ``错误：``."""
    told = translated(word)
    return f"{word}: " if told == word else f"{told}："


def cells(text: str) -> int:
    """Return the columns of a terminal that the text takes: wide letters take two."""
    from unicodedata import east_asian_width  # noqa: PLC0415 - spares unicodedata

    return sum(2 if east_asian_width(item) in "WF" else 1 for item in text)


def _line(text: str, to: str) -> str:
    """Return one line: found as a whole, without its indent, or by the message inside its frame."""
    bare = text.strip()
    if not bare:
        return text
    found = _catalogue(to).find(bare) or _framed(bare, to)
    return text if found is None else text.replace(bare, found, 1)


def _framed(text: str, to: str) -> str | None:
    """Return a line of the form ``where: key: message (got value); what to do`` with its sentences translated."""
    catalogue = _catalogue(to)
    for start in (0, *(mark.end() for mark in re.finditer(": ", text))):
        frame = re.compile(_FRAME).fullmatch(text, start)
        for message, got, cure in ((text[start:], None, None), frame.groups() if frame else ("", None, None)):
            found = catalogue.find(message) if message else None
            if found is not None:
                value = "" if got is None else f"（得到 {got}）"
                return text[:start] + found + value + ("" if cure is None else f"；{translated(cure, to)}")
    return None


class _Pattern(NamedTuple):
    literals: tuple[str, ...]
    regex: re.Pattern[str]
    told: str


class Catalogue:
    """Messages and their translations; those with holes are found by the words between the values."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        self._exact = {told: told_so for told, told_so in messages.items() if not re.search(_HOLE, told)}
        holed = [_pattern(told, told_so) for told, told_so in messages.items() if re.search(_HOLE, told)]
        self._patterns = sorted(holed, key=lambda one: -sum(map(len, one.literals)))  # the most telling first

    def find(self, text: str) -> str | None:
        """Return the translation, or None where there is no entry."""
        if text in self._exact:
            return self._exact[text]
        for one in self._patterns:
            if all(part in text for part in one.literals) and (found := one.regex.fullmatch(text)):
                return _filled(one.told, [self._value(value) for value in found.groups()])
        return None

    def _value(self, text: str) -> str:
        """Return a value: as it is, or translated where it is a sentence of the program."""
        found = self.find(text) if " " in text else None
        return text if found is None else found


def _pattern(told: str, told_so: str) -> _Pattern:
    literals = re.sub(_HOLE, "\0", told).split("\0")
    regex = re.compile("(.*?)".join(map(re.escape, literals)), re.DOTALL)
    return _Pattern(tuple(part for part in literals if part), regex, told_so)


def _filled(told: str, values: list[str]) -> str:
    """Return the translation with its values, in order or by number."""
    order = iter(range(len(values)))
    return re.sub(_HOLE, lambda hole: values[int(hole[1]) if hole[1] else next(order)], told)


@cache
def _catalogue(to: str) -> Catalogue:
    from gettext import GNUTranslations  # noqa: PLC0415 - spares gettext in English

    with (LOCALE / LANGUAGES[to] / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as file:
        messages = vars(GNUTranslations(file))["_catalog"]
    return Catalogue({told: told_so for told, told_so in messages.items() if told})
