"""The one door of pictures: the formats that are read, and a limit on pixels that is asked before any is decoded."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "PPM", "JPEG", "BMP")  # an EPS would start Ghostscript
LARGEST = 2**26  # pixels: 8192 x 8192, or a camera's 50 megapixels
SMALL = 2**22  # pixels: of larger pictures one is decoded at a time in a process

# what Pillow raises for damaged files
PICTURE_ERRORS = (
    *(OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError),
    *(EOFError, struct.error, zlib.error),
)
_one = threading.Lock()


class NoPictureError(ValueError):
    """The file is in none of the formats."""


def open_picture(path: Path) -> Image:
    """Return the picture with its header read; the pixels are decoded on first use.

    Raises:
        PICTURE_ERRORS: the reason as text; a picture of more than LARGEST pixels is one.
    """
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL
    from PIL import UnidentifiedImageError  # noqa: PLC0415 - spares PIL

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            image = pillow.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise NoPictureError("this is no PNG, PPM, PGM, JPEG or BMP image") from None
    except pillow.DecompressionBombError:
        raise ValueError(f"more than {LARGEST} pixels are not read; make the picture smaller") from None
    problem = too_many(image.size)
    if problem:
        image.close()
        raise ValueError(problem)
    return image


def too_many(size: tuple[int, int]) -> str:
    """Return the sentence about a picture of more than LARGEST pixels, or an empty string."""
    if size[0] * size[1] <= LARGEST:
        return ""
    return f"{size[0]}x{size[1]} are more than the {LARGEST} pixels that are read; make the picture smaller"


@contextmanager
def room_for(size: tuple[int, int]) -> Iterator[None]:
    """Wait until a picture of that size may be decoded: memory is bounded whatever the number of threads."""
    if size[0] * size[1] <= SMALL:
        yield
        return
    with _one:
        yield


def reason(error: BaseException) -> str:
    """Return the first line of what an error says."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200]
