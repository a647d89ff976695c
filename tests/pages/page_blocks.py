"""The fenced blocks of the pages: what a reader would paste, and what the page says about running it.

A comment directly in front of a block says how a test treats it (readers do not see it)::

    <!-- not run: REASON -->      the block is not run
    <!-- before: COMMANDS -->     shell commands that make what the block takes for granted
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("sh", "console")
_FENCE = re.compile(r"^( *)```(\S*)[ \t]*$")
_COMMENT = re.compile(r"<!-- (not run|before): ((?:(?!-->).)*) -->\s*\Z", re.DOTALL)
_PROGRAM = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:python3? -m )?slimai(?= |$)")


@dataclass(frozen=True)
class Block:
    """One fenced block. line: of its fence, from 1. not_run: the reason, or empty. before: commands in front of it."""

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""
    before: str = ""

    @property
    def place(self) -> str:
        """Return ``page:line``."""
        return f"{self.page}:{self.line}"

    def steps(self) -> list[tuple[str, list[str]]]:
        """Return the commands of a shell block with the lines that the page shows behind each."""
        if self.language != "console":
            return [(self.text, [])]
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        return found

    def lines_of_slimai(self) -> list[list[str]]:
        """Return the words of each call of slimai, without the program's own."""
        if self.language not in SHELL:
            return []
        text = "\n".join(command for command, _ in self.steps()).replace("\\\n", " ")
        lines = [re.sub(r"^.*&& (?=python)", "", line.strip()) for line in text.splitlines()]
        return [words(line[found.end() :]) for line in lines if (found := _PROGRAM.match(line))]


def words(text: str) -> list[str]:
    """Return the words of a command up to its end, a pipe or a redirection."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="><|;&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    found = list(lexer)
    end = next((at for at, word in enumerate(found) if set(word) <= set("><|;&")), len(found))
    return found[:end]


def pages() -> list[str]:
    """Return the pages that hold commands for readers, as paths from the root."""
    found = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def commands() -> list[str]:
    """Return the pages without the Chinese ones, whose commands are those of the English ones."""
    return [page for page in pages() if "zh-CN" not in page]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    return blocks_of((ROOT / page).read_text(encoding="utf-8"), page)


def blocks_of(text: str, page: str = "page.md") -> list[Block]:
    """Return the fenced blocks of a page's text. Raises ValueError when a fence is not closed."""
    found, lines, begin = [], text.splitlines(), None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence and begin is None:
            begin, language = number, fence[2]
        elif fence and not fence[2] and begin is not None:
            marks = _marks("\n".join(lines[:begin]))
            body = "\n".join(lines[begin + 1 : number]) + "\n"
            found.append(Block(page, begin + 1, language, body, marks.get("not run", ""), marks.get("before", "")))
            begin = None
    if begin is not None:
        raise ValueError(f"{page}:{begin + 1}: the fence is not closed")
    return found


def _marks(above: str) -> dict[str, str]:
    """Return the comments directly above a fence."""
    found: dict[str, str] = {}
    while mark := _COMMENT.search(above):
        found[mark[1]] = mark[2].strip()
        above = above[: mark.start()]
    return found


def without_blocks(text: str) -> str:
    """Return the text of a page with its fenced blocks and comments taken out."""
    lines, inside = [], False
    for line in text.splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return re.sub(r"<!--.*?-->", "", "\n".join(lines), flags=re.DOTALL)


def headings(text: str) -> list[int]:
    """Return the levels of the headings of a page in order."""
    return [len(found[1]) for found in re.finditer(r"^(#+) ", without_blocks(text), re.MULTILINE)]
