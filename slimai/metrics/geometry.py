"""Where a picture lay in the network's input, found again from the picture's size."""

from __future__ import annotations

from dataclasses import dataclass

from slimai.data.picture_file import PICTURE_ERRORS, open_picture, reason
from slimai.data.resize import Resize, place
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError

__all__ = ["PictureGeometry"]


@dataclass(frozen=True)
class PictureGeometry:
    """Computes the geometry of samples as preprocessing with `resize` did. network: (width, height)."""

    network: tuple[int, int]
    resize: Resize | None = None

    def __call__(self, sample: Sample) -> ImageGeometry:
        """Return the geometry of one sample.

        Raises: InputError where the picture cannot be read, or is of another size and there is no `resize`.
        """
        if sample.files[0].suffix.lower() == ".npy":
            return ImageGeometry(self.network, self.network)
        size = _picture_size(sample)
        if self.resize is None:
            if size != self.network:
                raise InputError.at(
                    str(sample.files[0]),
                    f"the picture is {size[0]}x{size[1]}, the network's input {self.network[0]}x{self.network[1]}",
                    cure="say with --resize how pictures were brought to that size",
                )
            return ImageGeometry(size, self.network)
        placed = place(self.resize, size, self.network)
        scale = (placed.scaled[0] / size[0], placed.scaled[1] / size[1])
        return ImageGeometry(size, self.network, scale, (float(placed.offset[0]), float(placed.offset[1])))


def _picture_size(sample: Sample) -> tuple[int, int]:
    try:
        with open_picture(sample.files[0]) as picture:
            return picture.size
    except PICTURE_ERRORS as error:
        raise InputError.at(str(sample.files[0]), f"the picture cannot be read: {reason(error)}") from None
