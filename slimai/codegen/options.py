"""What a user may choose about the C of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slimai.errors import InputError
from slimai.schema.codegen import LONGEST_PREFIX, CodegenSection, is_prefix, prefix_of


@dataclass(frozen=True)
class CodeOptions:
    """prefix: of every external symbol, a C identifier. weights: in C arrays, or in a file of this byte order."""

    prefix: str
    weights: Literal["array", "file"] = "array"
    byte_order: Literal["little", "big"] = "little"

    def __post_init__(self) -> None:
        """Refuse a prefix that C cannot take."""
        if not is_prefix(self.prefix):
            cure = f"give letters, digits and _, a letter first, at most {LONGEST_PREFIX}"
            raise InputError.at("codegen.prefix", "is no C identifier", self.prefix, cure=cure)

    @classmethod
    def of(cls, section: CodegenSection, network: str) -> CodeOptions:
        """Return the options of a configuration for a network of this name."""
        return cls(section.prefix or prefix_of(network), section.weights, section.byte_order)
