"""What a user may choose about the C of a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from slimai.errors import InputError

KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while".split()
)
LONGEST = 40


@dataclass(frozen=True)
class CodeOptions:
    """prefix: of every external symbol, a C identifier. weights: in C arrays, or in a file of this byte order."""

    prefix: str
    weights: Literal["array", "file"] = "array"
    byte_order: Literal["little", "big"] = "little"

    def __post_init__(self) -> None:
        """Refuse a prefix that C cannot take."""
        if not is_prefix(self.prefix):
            cure = f"give letters, digits and _, a letter first, at most {LONGEST}"
            raise InputError.at("codegen.prefix", "is no C identifier", self.prefix, cure=cure)


def is_prefix(text: str) -> bool:
    """Return whether symbols may begin with `text`."""
    return re.fullmatch(rf"[A-Za-z][A-Za-z0-9_]{{0,{LONGEST - 1}}}", text) is not None and text not in KEYWORDS


def prefix_of(name: str) -> str:
    """Return a network's name as the prefix of C symbols."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST]
    return text if is_prefix(text) else f"net_{text}"[:LONGEST]
