"""The finished page in another language: what stands between its tags is looked up, whatever the template looks like.

Names of the user's stay as they are: cells with a title (names of layers), preformatted text, script and style.
"""

from __future__ import annotations

import re
from html import escape, unescape

from slimai.language import LANGUAGES, translated

_KEPT = re.compile(r"(<(script|style|pre|code)\b.*?</\2>|<td[^>]* title=.*?</td>)", re.DOTALL)
_TEXT = re.compile(r">([^<>]*[A-Za-z][^<>]*)<")
_LABEL = re.compile(r'(aria-label|alt|data-h)="([^"]*)"')


def in_language(page: str, to: str) -> str:
    """Return the HTML page with its texts in the language `to`; texts without a translation stay English."""
    if to == "en":
        return page
    pieces, end = [], 0
    for kept in _KEPT.finditer(page):
        pieces += [_translated(page[end : kept.start()], to), kept[0]]
        end = kept.end()
    told = "".join([*pieces, _translated(page[end:], to)])
    return told.replace('<html lang="en">', f'<html lang="{LANGUAGES[to].replace("_", "-")}">', 1)


def _translated(piece: str, to: str) -> str:
    piece = _TEXT.sub(lambda found: f">{_look_up(found[1], to)}<", f">{piece}<")[1:-1]
    return _LABEL.sub(lambda found: f'{found[1]}="{_look_up(found[2], to)}"', piece)


def _look_up(text: str, to: str) -> str:
    """Return a text of the page with its blanks at both ends; what is on several lines is one text."""
    bare = " ".join(unescape(text).split())
    told = translated(bare, to)
    if told == bare:
        return text
    head, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return head + escape(told, quote=True) + tail
