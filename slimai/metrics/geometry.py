"""Where a picture lay in the network's input, found again from the picture's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slimai.data.exif import UPRIGHT, orientation_of, turned_size
from slimai.data.files import open_image
from slimai.data.resize import Resize, place
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError

__all__ = ["PictureGeometry"]


@dataclass(frozen=True)
class PictureGeometry:
    """Computes the geometry of samples as preprocessing with `resize` did.

    network: (width, height). column: which file of a sample is the picture.
    """

    network: tuple[int, int]
    resize: Resize | None = None
    exif: Literal["apply", "ignore"] = "apply"
    column: int = 0

    def __call__(self, sample: Sample) -> ImageGeometry:
        """Return the geometry of one sample.

        Raises: InputError where the picture cannot be read, or is of another size and there is no `resize`.
        """
        if sample.files[self.column].suffix.lower() == ".npy":
            return ImageGeometry(self.network, self.network)
        size, orientation = self._upright(sample)
        if self.resize is None:
            if size != self.network:
                raise InputError.at(
                    str(sample.files[self.column]),
                    f"the picture is {size[0]}x{size[1]}, the network's input {self.network[0]}x{self.network[1]}",
                    cure="say with --resize how pictures were brought to that size",
                )
            return ImageGeometry(size, self.network, orientation=orientation)
        placed = place(self.resize, size, self.network)
        scale = (placed.scaled[0] / size[0], placed.scaled[1] / size[1])
        return ImageGeometry(size, self.network, scale, (float(placed.offset[0]), float(placed.offset[1])), orientation)

    def _upright(self, sample: Sample) -> tuple[tuple[int, int], int]:
        """Return (width, height) of the picture as it was read, and the EXIF orientation that turned it."""
        with open_image(sample, sample.files[self.column]) as picture:
            orientation = orientation_of(picture, sample.files[self.column]) if self.exif == "apply" else UPRIGHT
            return turned_size(picture.size, orientation), orientation
