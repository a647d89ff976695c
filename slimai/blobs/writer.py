"""Writes tensors as blob text.

Line 1: coefficient, W, H, C, N, dtype. Line 2: the numbers in NCHW order. Real value = number / coefficient.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.blobs.text import floats_to_text, wholes_to_text
from slimai.errors import InputError

__all__ = ["format_fixed_blob", "format_float_blob", "nhwc_shape", "write_blob"]


def nhwc_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return (N, H, W, C) of an output; missing dimensions after the batch are 1: (1, n, 4) is (1, 1, n, 4).

    Raises: InputError for more than four dimensions.
    """
    if len(shape) > 4:
        raise InputError(f"a blob has up to 4 dimensions (got {tuple(shape)}); reshape this output in the network")
    batch, rest = (shape[0], shape[1:]) if shape else (1, ())
    padded = (1,) * (3 - len(rest)) + tuple(rest)
    return (batch, padded[0], padded[1], padded[2])


def format_float_blob(values: NDArray[Any]) -> bytes:
    """Return the blob of a float tensor, dtype F32, coefficient 1."""
    shape = nhwc_shape(values.shape)
    return _header(1.0, shape, "F32") + floats_to_text(_nchw(np.asarray(values, np.float32), shape)) + b"\n"


def format_fixed_blob(integers: NDArray[Any], scale: float, zero_point: int = 0) -> bytes:
    """Return the blob of a quantized tensor: integers minus the zero point, coefficient 1 / scale.

    dtype: S8, U8 or S16 as stored; S16 where a zero point was taken off; S32 beyond.
    """
    shape = nhwc_shape(integers.shape)
    stored = np.asarray(integers)
    plain = {"int8": "S8", "uint8": "U8", "int16": "S16"}.get(stored.dtype.name, "S32")
    dtype = "S16" if zero_point and plain in {"S8", "U8"} else plain
    return (
        _header(1.0 / scale, shape, dtype) + wholes_to_text(_nchw(stored.astype(np.int64) - zero_point, shape)) + b"\n"
    )


def write_blob(path: Path, data: bytes) -> None:
    """Write a blob so that it is there whole or not at all.

    Dumps are many and can be made again, so they are not flushed to the disk one by one.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _nchw(values: NDArray[Any], shape: tuple[int, int, int, int]) -> NDArray[Any]:
    return values.reshape(shape).transpose(0, 3, 1, 2)


def _header(coefficient: float, shape: tuple[int, int, int, int], dtype: str) -> bytes:
    batch, height, width, channels = shape
    return f"{coefficient:.8e} {width} {height} {channels} {batch} {dtype}\n".encode()
