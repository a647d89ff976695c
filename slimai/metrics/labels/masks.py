"""Label images: class indices, binary masks, and the pictures an image network is compared with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimai.data.array_file import open_npy
from slimai.data.exif import UPRIGHT, orientation_of, turn_array
from slimai.data.picture_file import LARGEST, PICTURE_ERRORS, open_picture, reason, room_for
from slimai.errors import InputError

PGM_HEADER = re.compile(rb"^P[25](?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+(\d+)\s")

__all__ = ["read_binary_mask", "read_index_mask", "read_picture"]


def read_index_mask(path: Path, *, turn: bool = False) -> NDArray[np.uint8]:
    """Return class indices [h, w] uint8: palette pictures by index, gray ones by value, .npy as stored.

    turn: whether a picture is turned as its EXIF orientation says; the same below.
    """
    values = _stored_values(path, _read(path, turn=turn)[0])
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2:
        raise InputError.at(str(path), "a label image has one channel of class indices", values.shape)
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InputError.at(str(path), "class indices must be whole numbers", values.dtype.name)
    if values.size and (values.min() < 0 or values.max() > 255):
        raise InputError.at(str(path), "class indices must be in 0..255", [float(values.min()), float(values.max())])
    return values.astype(np.uint8)


def read_binary_mask(path: Path, threshold: float, *, turn: bool = False) -> NDArray[np.uint8]:
    """Return 0 / 1 [h, w] uint8: 1 where the label is above `threshold`.

    Gray values are divided by 255 first; palette indices, and gray pictures of nothing but 0 and 1, are
    taken as they are.
    """
    values, is_palette = _read(path, turn=turn)
    if values.ndim == 3:
        if values.shape[2] != 1:
            raise InputError.at(str(path), "a binary label image is gray", values.shape)
        values = values[..., 0]
    share = values.astype(np.float64)
    if values.dtype == np.uint8 and not is_palette and values.size and values.max() > 1:
        share = share / 255.0
    return (share > threshold).astype(np.uint8)


def read_picture(path: Path, *, turn: bool = False) -> NDArray[np.float64]:
    """Return [h, w, channels] float64: 8- and 16-bit pictures in 0..1, float .npy as stored."""
    values, is_palette = _read(path, turn=turn)
    if is_palette:
        raise InputError.at(str(path), "a palette picture cannot be compared; store its colours or gray values")
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3:
        raise InputError.at(str(path), "a picture has two or three dimensions", values.shape)
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    full = {"uint8": 255.0, "uint16": 65535.0}.get(values.dtype.name)
    if full is not None:
        return values.astype(np.float64) / full
    raise InputError.at(str(path), "expected 8- or 16-bit or float values", values.dtype.name)


def _read(path: Path, *, turn: bool) -> tuple[NDArray[np.generic], bool]:
    """Return the numbers of a file [h, w] or [h, w, channels], and whether they are palette indices."""
    if path.suffix.lower() == ".npy":
        return _read_npy(path), False
    try:
        with open_picture(path) as picture, room_for(picture.size):
            is_palette = picture.mode == "P"
            values: NDArray[np.generic] = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
            values = turn_array(values, orientation_of(picture, path) if turn else UPRIGHT)
    except PICTURE_ERRORS as error:
        raise InputError.at(str(path), f"the label image cannot be read: {reason(error)}") from None
    # Pillow's mode I holds 16-bit PNG and PGM
    return (values.astype(np.uint16) if values.dtype == np.int32 else values), is_palette


def _stored_values(path: Path, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Undo Pillow's stretching to 0..255 of a PGM with a smaller maximum, whose values are class indices."""
    with path.open("rb") as file:
        header = PGM_HEADER.match(file.read(1024))
    largest = int(header[1]) if header else 255
    if values.dtype != np.uint8 or largest >= 255:
        return values
    return np.rint(values.astype(np.float64) * largest / 255).astype(np.uint8)


def _read_npy(path: Path) -> NDArray[np.generic]:
    try:
        found = open_npy(path)
    except (OSError, ValueError) as error:
        raise InputError.at(str(path), f"the array cannot be read: {reason(error)}") from None
    if found.size > LARGEST:
        raise InputError.at(str(path), f"more than {LARGEST} values are not read", list(found.shape))
    values: NDArray[np.generic] = np.array(found)
    if values.dtype.kind not in "uif" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise InputError.at(str(path), "expected finite numbers", values.dtype.name)
    return values
