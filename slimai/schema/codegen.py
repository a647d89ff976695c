"""Section `codegen`: portable C of the delivered network."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from slimai.schema.base import Int, Section, wrong

LONGEST_PREFIX = 40
KEYWORDS = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
    ]
)


def is_prefix(text: str) -> bool:
    """Return whether C symbols may begin with `text`: a short identifier that is no keyword, without a leading _."""
    return re.fullmatch(rf"[A-Za-z][A-Za-z0-9_]{{0,{LONGEST_PREFIX - 1}}}", text) is not None and text not in KEYWORDS


def prefix_of(name: str) -> str:
    """Return a network's name as the prefix of C symbols."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST_PREFIX]
    return text if is_prefix(text) else f"net_{text}"[:LONGEST_PREFIX]


def _prefix(text: str | None) -> str | None:
    if text is not None and not is_prefix(text):
        raise wrong(
            "Prefix should be a C identifier", f"letters, digits and _, a letter first, at most {LONGEST_PREFIX}"
        )
    return text


class CodegenSection(Section):
    """Portable C of the delivered network."""

    language: Literal["none", "c"] = Field(
        default="none", description="What `gen_code` writes beside the model: c = a folder `<name>_c` of portable C99."
    )
    prefix: Annotated[str | None, AfterValidator(_prefix)] = Field(
        default=None, description="What every external C symbol begins with; null = the network's name."
    )
    test_vectors: Annotated[Int, Field(ge=0, le=100)] = Field(
        default=2, description="Validation images in the C folder's own test."
    )
    weights: Literal["array", "file"] = Field(
        default="array", description="Constants as C arrays, or as a file that the caller loads and passes."
    )
    byte_order: Literal["little", "big"] = Field(default="little", description="Byte order of the file of constants.")
