"""Reads blob text back into tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimai.blobs.text import parse_numbers
from slimai.errors import InputError

# dtype of the header: the limits of its numbers
DTYPES: dict[str, tuple[int, int] | None] = {
    "F32": None,
    "S8": (-128, 127),
    "U8": (0, 255),
    "S16": (-32768, 32767),
    "S32": (-(2**31), 2**31 - 1),
}

LONGEST_HEADER = 256  # bytes

__all__ = ["DTYPES", "Blob", "parse_blob", "read_blob", "read_header"]


@dataclass(frozen=True)
class Blob:
    """One dumped tensor: `numbers` [N, C, H, W] float64 as printed, and what divides them."""

    coefficient: float
    dtype: str
    numbers: NDArray[np.float64]

    def real(self, shape: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Return the real values as float32 in the output's own `shape`; None = [N, H, W, C].

        One size of `shape` may be -1, the steps of sequences that differ in length: as many as the blob holds.

        Raises: InputError where `shape` has another size.
        """
        with np.errstate(over="ignore"):  # float32 is narrower; whoever scores looks for what is not finite
            values = (self.numbers / self.coefficient).transpose(0, 2, 3, 1).astype(np.float32)
        if shape is not None and -1 in shape:
            known = math.prod(side for side in shape if side != -1)
            shape = [values.size // known if side == -1 and known else side for side in shape]
        if shape is not None and math.prod(shape) != values.size:
            raise InputError(f"the blob holds {values.size} values, not those of shape {tuple(shape)}")
        return np.asarray(values if shape is None else values.reshape(shape), np.float32, order="C")


def read_blob(path: Path) -> Blob:
    """Return the tensor of a file; raises InputError naming the file and what is wrong in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError.at(str(path), f"the blob cannot be read: {error.strerror}") from None
    return parse_blob(data, str(path))


def read_header(path: Path) -> tuple[float, tuple[int, int, int, int], str]:
    """Return coefficient, (N, C, H, W) and dtype of a file, without its numbers; raises InputError."""
    try:
        with path.open("rb") as file:
            head = file.readline(LONGEST_HEADER).rstrip(b"\n")
    except OSError as error:
        raise InputError.at(str(path), f"the blob cannot be read: {error.strerror}") from None
    return _parse_header(head, str(path))


def parse_blob(data: bytes, where: str) -> Blob:
    """Return the tensor of blob text; raises InputError naming `where`."""
    head, _, body = data.partition(b"\n")
    coefficient, shape, dtype = _parse_header(head, where)
    count = math.prod(shape)
    # a number takes at least a digit and a separator, so this bounds the memory by the file's own size
    if count > len(body):
        raise InputError.at(f"{where}:1", f"{count} values are announced, more than the file can hold", len(body))
    try:
        values = parse_numbers(body, count)
    except ValueError as error:
        raise InputError.at(f"{where}:2", "not a number", str(error)) from None
    if len(values) != count:
        found = f"more than {count}" if len(values) > count else f"{len(values)}"
        raise InputError.at(f"{where}:2", f"expected {count} values (W H C N of line 1), found {found}")
    _check_whole(values, dtype, where)
    return Blob(coefficient, dtype, values.reshape(shape))


def _parse_header(head: bytes, where: str) -> tuple[float, tuple[int, int, int, int], str]:
    words = head.decode("ascii", "replace").split() if len(head) < 200 else []
    if len(words) != 6:
        raise InputError.at(f"{where}:1", "expected 'coefficient W H C N dtype'", head[:60].decode("ascii", "replace"))
    try:
        coefficient = float(words[0])
    except ValueError:
        coefficient = math.nan
    if not math.isfinite(coefficient) or coefficient <= 0:
        raise InputError.at(f"{where}:1", "the coefficient must be a positive number", words[0])
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 2**31 for word in words[1:5]):
        raise InputError.at(f"{where}:1", "W, H, C and N must be whole numbers above 0", " ".join(words[1:5]))
    if words[5] not in DTYPES:
        raise InputError.at(f"{where}:1", f"the dtype is one of {', '.join(DTYPES)}", words[5])
    width, height, channels, batch = (int(word) for word in words[1:5])
    return coefficient, (batch, channels, height, width), words[5]


def _check_whole(values: NDArray[np.float64], dtype: str, where: str) -> None:
    limits = DTYPES[dtype]
    if limits is None:
        return
    wrong = (values != np.rint(values)) | (values < limits[0]) | (values > limits[1]) | np.isnan(values)
    if wrong.any():
        low, high = limits
        raise InputError.at(f"{where}:2", f"a number of {dtype} is whole, {low}..{high}", float(values[wrong][0]))
