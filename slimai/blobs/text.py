"""Numbers to text and back: the compiled loops for large tensors, plain Python for small ones; same bytes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORTH_COMPILING = 4096
LARGEST_FIXED = 1e6
SMALLEST_FIXED = 0.01
_NUMBER = re.compile(rb"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?|nan|inf|NaN|Inf)")

__all__ = ["floats_to_text", "parse_numbers", "parse_plain", "plain_fixed", "wholes_to_text"]


def floats_to_text(values: NDArray[np.float32]) -> bytes:
    """Return the values, space separated: '%f', or '%.9g' where the largest magnitude is below 0.01 or from 10^6."""
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    sizes = np.abs(flat)
    magnitude = float(np.fmax.reduce(sizes, initial=0.0))  # NaN, which no size is compared with, is left out
    if magnitude < SMALLEST_FIXED or magnitude >= LARGEST_FIXED:
        return " ".join([f"{value:.9g}" for value in flat.tolist()]).encode()
    if flat.size < WORTH_COMPILING or np.isnan(sizes).any():
        return plain_fixed(flat)
    from slimai.blobs import _kernels  # noqa: PLC0415 - spares numba

    out = np.empty(flat.size * 16, np.uint8)
    return out[: _kernels.format_fixed(flat.view(np.int32), out)].tobytes()


def plain_fixed(values: NDArray[np.float32]) -> bytes:
    """Return the values as '%f', space separated."""
    return " ".join([f"{value:f}" for value in values.tolist()]).encode()


def wholes_to_text(values: NDArray[Any]) -> bytes:
    """Return integers, space separated."""
    flat = np.ascontiguousarray(values, np.int64).reshape(-1)
    if flat.size < WORTH_COMPILING:
        return " ".join(map(str, flat.tolist())).encode()
    from slimai.blobs import _kernels  # noqa: PLC0415 - spares numba

    out = np.empty(flat.size * 21, np.uint8)
    return out[: _kernels.format_whole(flat, out)].tobytes()


def parse_numbers(text: bytes, most: int) -> NDArray[np.float64]:
    """Return the numbers of `text`, at most `most` + 1 of them; raises ValueError with the first bad word."""
    if len(text) < WORTH_COMPILING * 8:
        return parse_plain(text, most)
    from slimai.blobs import _kernels  # noqa: PLC0415 - spares numba

    values = np.empty(min(most, len(text)) + 1, np.float64)
    powers = np.array([float(10**power) for power in range(16)])
    raw = np.frombuffer(text, np.uint8)
    odd = np.empty((64, 3), np.int64)
    count, strange = _kernels.parse_numbers(raw, powers, values, odd)
    if strange > len(odd):
        odd = np.empty((strange, 3), np.int64)
        count, strange = _kernels.parse_numbers(raw, powers, values, odd)
    for index, begin, end in odd[:strange].tolist():
        values[index] = _parse_word(text[begin:end])
    return values[: min(count, len(values))]


def parse_plain(text: bytes, most: int) -> NDArray[np.float64]:
    """Do what `parse_numbers` does, word by word."""
    return np.array([_parse_word(word) for word in text.split()[: most + 1]], np.float64)


def _parse_word(word: bytes) -> float:
    if not _NUMBER.fullmatch(word):
        raise ValueError(word[:40].decode("ascii", "backslashreplace"))
    return float(word)
