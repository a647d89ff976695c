"""What the program can say, read from its source: texts with ``{}`` in place of values."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "slimai"
# calls whose texts a person reads, and their arguments that are texts
RAISED = ("Diagnostic", "InputError", "UnsupportedError", "SlimaiError", "at", "wrong", "Problem", "_warn")
TOLD = (*RAISED, "line", "warn", "stage")
KEYS = ("suggestion", "cure", "message")
_VALUE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_KEPT = re.compile(r"<(style|script|pre|code)\b.*?</\1>", re.DOTALL)
_CONTROL = re.compile(r"\{%.*?%\}", re.DOTALL)


def text_of(node: ast.expr) -> str | None:
    """Return the text of an expression, ``{}`` for what is not constant; None when nothing is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None and right is None else (left or "{}") + (right or "{}")
    return None


@cache
def trees() -> dict[str, ast.Module]:
    """Return module path -> its tree."""
    files = sorted(SOURCE.rglob("*.py"))
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}


@cache
def everything() -> frozenset[str]:
    """Return every text of the source, and each of its lines."""
    nodes = (node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.expr))
    found = {text for node in nodes if (text := text_of(node))} | set(page_texts())
    return frozenset(found | {line.strip() for text in found for line in text.split("\n")})


def told(folder: str = "") -> list[str]:
    """Return the texts, of more than a word, that go into messages in the modules below `folder`."""
    found = []
    for name, tree in trees().items():
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) in TOLD)
        for call in calls if name.startswith(folder) else ():
            given = (*call.args, *(item.value for item in call.keywords if item.arg in KEYS))
            texts = [text for item in given if (text := text_of(item))]
            found += [text for text in texts if " " in text.strip() and re.search("[a-z]{2}", text)]
    return list(dict.fromkeys(found))


def _name(function: ast.expr) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


@cache
def page_texts() -> tuple[str, ...]:
    """Return the texts between the tags of the report's templates."""
    found = []
    for path in sorted((SOURCE / "report" / "templates").glob("*.j2")):
        page = re.sub(
            r"<(style|script|pre|code)\b.*?</\1>", "<b></b>", path.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        page = _VALUE.sub("{}", page)
        page = _CONTROL.sub("\0", page)
        found += [" ".join(part.split()) for text in re.findall(r">([^<>]+)<", page) for part in text.split("\0")]
    return tuple(dict.fromkeys(text for text in found if re.search("[A-Za-z]{2}", text)))
