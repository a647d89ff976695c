"""Reading pictures and arrays; what is wrong with one is an InputError that names it and its list line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.array_file import open_npy
from slimai.data.exif import UPRIGHT, turn_array
from slimai.data.picture_file import PICTURE_ERRORS, NoPictureError, open_picture, reason
from slimai.errors import Diagnostic, InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from slimai.data.sample import Sample

Array = NDArray[Any]
# what float32 holds exactly
ARRAY_DTYPES = ("uint8", "int8", "uint16", "int16", "float16", "float32")
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def wrong_file(sample: Sample, file: Path, message: str, cure: str = "") -> InputError:
    """Return the error about one file of a sample, placed at its list line."""
    where = sample.list_file or None
    return InputError(Diagnostic(message, key=str(file), suggestion=cure, file=where, line=sample.line))


def open_image(sample: Sample, file: Path) -> Image:
    """Return the picture with its header read; the pixels are decoded on first use."""
    try:
        image = open_picture(file)
    except NoPictureError as error:
        raise wrong_file(sample, file, str(error)) from error
    except PICTURE_ERRORS as error:
        raise wrong_file(sample, file, f"the image cannot be read: {reason(error)}") from error
    if image.mode not in _EIGHT_BIT:
        image.close()
        raise wrong_file(sample, file, f"pixels of the mode {image.mode} are not 8-bit", "convert it to 8 bits")
    return image


def decode(sample: Sample, file: Path, image: Image, mode: str) -> Image:
    """Return the decoded picture in the mode 'RGB' or 'L'; transparency is dropped."""
    try:
        if image.mode in {"P", "PA"} and mode == "L":
            return image.convert("RGB").convert("L")
        return image.convert(mode)
    except PICTURE_ERRORS as error:
        raise wrong_file(sample, file, f"the image cannot be decoded: {reason(error)}") from error


def turned(image: Image, orientation: int) -> Image:
    """Return the decoded picture as an EXIF orientation turns it."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    if orientation == UPRIGHT:
        return image
    return pillow.fromarray(np.ascontiguousarray(turn_array(np.asarray(image), orientation)))


def header_shape(sample: Sample, file: Path) -> tuple[int, ...]:
    """Return the shape that an .npy file has, by its header."""
    try:
        return open_npy(file).shape
    except (OSError, ValueError) as error:
        raise wrong_file(sample, file, f"this is no .npy array: {reason(error)}") from error


def read_array(
    sample: Sample,
    file: Path,
    fits: Callable[[tuple[int, ...]], None] = lambda _: None,
    dtypes: tuple[str, ...] = ARRAY_DTYPES,
) -> Array:
    """Return the array of an .npy file of one of the types; `fits` raises for a shape that is not wanted."""
    try:
        found = open_npy(file)
    except (OSError, ValueError) as error:
        raise wrong_file(sample, file, f"this is no .npy array: {reason(error)}") from error
    if found.dtype.name not in dtypes:
        cure = f"save it as {', '.join(dtypes)}"
        raise wrong_file(sample, file, f"the array holds {found.dtype.name}", cure)
    fits(found.shape)  # before anything of it is read
    values = np.array(found)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise wrong_file(sample, file, "the array holds values that are not finite")
    return values
