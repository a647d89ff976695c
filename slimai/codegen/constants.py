"""The constant arrays of a network: named, each set of bytes once, as C text or as one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ByteOrder = Literal["little", "big"]
C_TYPES = {
    np.dtype(name): f"{name}_t"
    for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
}  # fmt: skip
ALIGNMENT = 8
_LINE = 116


def smallest(values: Array, kinds: tuple[str, ...] = ("int8", "int16", "int32", "int64")) -> Array:
    """Return integers in the first of `kinds` that holds them all."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for kind in kinds:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.ascontiguousarray(values, kind)
    raise ValueError(f"no type of {kinds} holds {low}..{high}")


@dataclass
class Constants:
    """Arrays under C names; `as_file`: they lie in one file that the program is given."""

    prefix: str
    as_file: bool
    arrays: dict[str, Array] = field(default_factory=dict)
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def add(self, name: str, values: Array) -> str:
        """Return the C expression of an array of these values and this type, under `name` if it is a new one."""
        values = np.ascontiguousarray(values).reshape(-1)
        key = (values.dtype.str, values.tobytes())
        if key not in self._known:
            given = [f"{self.prefix}_{name}", *(f"{self.prefix}_{name}_{n}" for n in range(2, len(self.arrays) + 3))]
            self._known[key] = next(item for item in given if item not in self.arrays)
            self.arrays[self._known[key]] = values
        return self.expression(self._known[key])

    def expression(self, name: str) -> str:
        """Return how C reads the array."""
        if not self.as_file:
            return name
        kind = C_TYPES[self.arrays[name].dtype]
        return f"(const {kind} *)(const void *)(bytes + {self.offsets()[name]})"

    def offsets(self) -> dict[str, int]:
        """Return array -> its place in the file."""
        found, end = {}, 0
        for name, values in self.arrays.items():
            found[name] = end
            end += -(-values.nbytes // ALIGNMENT) * ALIGNMENT
        return found

    @property
    def size(self) -> int:
        """Bytes of all arrays, without gaps."""
        return sum(values.nbytes for values in self.arrays.values())

    def file(self, order: ByteOrder) -> bytes:
        """Return the file, integers in this byte order, each array at a multiple of 8 bytes."""
        parts = []
        for values in self.arrays.values():
            stored = values.astype(values.dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
            parts.append(stored + bytes(-len(stored) % ALIGNMENT))
        return b"".join(parts)

    def declarations(self) -> str:
        """Return the declarations of the arrays."""
        lines = [f"extern const {C_TYPES[v.dtype]} {name}[{v.size}];" for name, v in self.arrays.items()]
        return "\n".join(lines) + "\n"

    def definitions(self, align: str) -> str:
        """Return the C text of the arrays."""
        return "\n".join(
            f"{align} const {C_TYPES[values.dtype]} {name}[{values.size}] = {{\n{array_text(values)}\n}};\n"
            for name, values in self.arrays.items()
        )


def array_text(values: Array) -> str:
    """Return integers as lines of C, without trailing blanks."""
    suffix = "u" if values.dtype.kind == "u" and values.dtype.itemsize >= 4 else ""  # small ones become int anyway
    words = [_word(value, suffix) for value in values.tolist()]
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) + 1 > _LINE:
            lines.append(line)
            line = ""
        line += f"{word},"
    return "\n".join([*lines, line]).rstrip(",")


def _word(value: int, suffix: str) -> str:
    """Return an integer as C writes it; the least ones have no literal of their own type."""
    if value in (-(1 << 31), -(1 << 63)):
        return f"({value + 1} - 1)"
    return f"{value}{suffix}"
