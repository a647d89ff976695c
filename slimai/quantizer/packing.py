"""Integers of 4 bits, two in a byte: the first in the low half, as ONNX and TFLite lay them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import S4


def packed(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return [ceil(n / 2)] bytes of n integers in C order; the high half of an odd last byte is 0.

    Raises:
        ValueError: an integer is beyond -8..7.
    """
    flat = np.asarray(values).reshape(-1)
    if flat.size and (flat.min() < S4.low or flat.max() > S4.high):
        raise ValueError(f"integers of 4 bits are {S4.low}..{S4.high} (got {flat.min()}..{flat.max()})")
    halves = np.zeros(flat.size + flat.size % 2, np.uint8)
    halves[: flat.size] = flat.astype(np.int8).view(np.uint8) & 0xF
    found: NDArray[np.uint8] = (halves[::2] | (halves[1::2] << 4)).astype(np.uint8)
    return found


def unpacked(data: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.int8]:
    """Return the int8 integers of this shape that `packed` laid into `data`.

    Raises:
        ValueError: there are other than ceil(n / 2) bytes.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if data.size != S4.bytes_of(count):
        raise ValueError(f"{count} integers of 4 bits take {S4.bytes_of(count)} bytes (got {data.size})")
    halves = np.stack([data & 0xF, data >> 4], axis=-1).reshape(-1)[:count].astype(np.int8)
    return np.where(halves > S4.high, halves - 16, halves).astype(np.int8).reshape(tuple(shape))
