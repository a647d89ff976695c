"""One line of an image list, and how its picture became the network's input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ImageGeometry:
    """How a picture became the network's input; lets a detector map its boxes back.

    original: (width, height) of the file. network: (width, height) of the input.
    x_input = x_original * scale[0] + offset[0]; the same for y. orientation: of EXIF, 2..8 where the stored picture
    was turned by it; `original` is then the size after turning.
    """

    original: tuple[int, int]
    network: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    orientation: int = 1


@dataclass(frozen=True)
class Sample:
    """One line of an image list: its index from 0, its files, its labels as written, its geometry.

    list_file and line (from 1) say where it stands, for messages.
    """

    index: int
    files: tuple[Path, ...]
    labels: tuple[str, ...] = ()
    geometry: ImageGeometry | None = None
    list_file: str = ""
    line: int | None = None

    @property
    def stem(self) -> str:
        """Return the file name of the first input without its suffix."""
        return self.files[0].stem
