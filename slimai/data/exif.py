"""EXIF orientation: how a stored picture is turned before anybody looks at it.

Orientation 1 is upright; 2..4 mirror or turn by 180 degrees; 5..8 exchange the sides too (Exif 2.32, tag 0x0112).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
TAG, UPRIGHT = 0x0112, 1
SWAPPING = 5  # orientations from here on exchange the sides
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

__all__ = ["UPRIGHT", "orientation_of", "swaps", "turn_array", "turn_points", "turned_size"]


def orientation_of(image: Image, file: Path) -> int:
    """Return the orientation 1..8 of an opened picture; 1 where it has none or a damaged one. Decodes no pixel."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    try:
        if image.format == "PNG" and "exif" not in image.info:  # it may stand behind the pixels
            found = _png_exif(file)
            if found is not None:
                image.info["exif"] = found
        # the base class's: that of PNG decodes the whole picture
        value = pillow.Image.getexif(image).get(TAG, UPRIGHT)
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, struct.error, OverflowError):
        return UPRIGHT
    return value if isinstance(value, int) and UPRIGHT <= value <= 8 else UPRIGHT


def _png_exif(file: Path) -> bytes | None:
    """Return the content of the eXIf chunk of a PNG, None where there is none."""
    with file.open("rb") as stream:
        if stream.read(8) != PNG_SIGNATURE:
            return None
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return b"Exif\0\0" + stream.read(min(length, 1 << 20))
            stream.seek(length + 4, 1)
    return None


def swaps(orientation: int) -> bool:
    """Return whether width and height change places."""
    return orientation >= SWAPPING


def turned_size(size: Size, orientation: int) -> Size:
    """Return (width, height) of the upright picture from that of the stored one; the other way round it is the same."""
    return (size[1], size[0]) if swaps(orientation) else size


def turn_array(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored pixels [h, w, ...] turned upright; a view."""
    if swaps(orientation):
        pixels = pixels.swapaxes(0, 1)
    flip_x, flip_y = _flips(orientation)
    return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def turn_points(points: NDArray[np.float64], stored: Size, orientation: int) -> NDArray[np.float64]:
    """Return points [n, 2] (x, y) of a stored picture of (width, height) `stored` in the upright one."""
    width, height = turned_size(stored, orientation)
    x, y = (points[:, 1], points[:, 0]) if swaps(orientation) else (points[:, 0], points[:, 1])
    flip_x, flip_y = _flips(orientation)
    return np.stack([width - x if flip_x else x, height - y if flip_y else y], axis=1)


def _flips(orientation: int) -> tuple[bool, bool]:
    """Return whether x and y are mirrored, after the sides have changed places."""
    return orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
