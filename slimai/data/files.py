"""Reading pictures and arrays; what is wrong with one is an InputError that names it and its list line."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.exif import UPRIGHT, turn_array
from slimai.errors import Diagnostic, InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from slimai.data.sample import Sample

Array = NDArray[Any]
_FORMATS = ("PNG", "PPM", "JPEG", "BMP")
_ARRAY_DTYPES = ("uint8", "int8", "float32")
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def wrong_file(sample: Sample, file: Path, message: str, cure: str = "") -> InputError:
    """Return the error about one file of a sample, placed at its list line."""
    where = sample.list_file or None
    return InputError(Diagnostic(message, key=str(file), suggestion=cure, file=where, line=sample.line))


def open_image(sample: Sample, file: Path) -> Image:
    """Return the picture with its header read; the pixels are decoded on first use."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL
    from PIL import UnidentifiedImageError  # noqa: PLC0415 - spares PIL

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            image = pillow.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise wrong_file(sample, file, "this is no PNG, PPM, PGM, JPEG or BMP image") from error
    except (OSError, ValueError, SyntaxError, MemoryError, pillow.DecompressionBombError) as error:
        raise wrong_file(sample, file, f"the image cannot be read: {_reason(error)}") from error
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
    except (OSError, ValueError, SyntaxError, IndexError, MemoryError, EOFError) as error:
        raise wrong_file(sample, file, f"the image cannot be decoded: {_reason(error)}") from error


def turned(image: Image, orientation: int) -> Image:
    """Return the decoded picture as an EXIF orientation turns it."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    if orientation == UPRIGHT:
        return image
    return pillow.fromarray(np.ascontiguousarray(turn_array(np.asarray(image), orientation)))


def read_array(sample: Sample, file: Path) -> Array:
    """Return the array of an .npy file, uint8, int8 or float32."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, OverflowError, TypeError) as error:
        raise wrong_file(sample, file, f"this is no .npy array: {_reason(error)}") from error
    if not isinstance(found, np.ndarray) or found.dtype.name not in _ARRAY_DTYPES:
        kind = found.dtype.name if isinstance(found, np.ndarray) else type(found).__name__
        raise wrong_file(sample, file, f"the array holds {kind}", f"save it as {', '.join(_ARRAY_DTYPES)}")
    values = np.array(found)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise wrong_file(sample, file, "the array holds values that are not finite")
    return values


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200]
