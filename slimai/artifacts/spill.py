"""Arrays of a whole image set, on disk: written once in order, read by slices, memory stays flat.

Files are read and written, not mapped: pages of a mapped file count as memory of the process, and a full disk would
end it by a signal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]


class _Store(Protocol):
    """The values of one name, by image."""

    def write(self, start: int, array: Array) -> None:
        """Store the images from `start` on."""

    def read(self, indices: Sequence[int]) -> Array:
        """Return the images with these indices, in this order."""

    def bytes(self, images: int) -> int:
        """Return the size of the values of `images` images."""

    def close(self) -> None:
        """Delete what is on disk."""


@dataclass(frozen=True)
class _Uneven:
    """A folder with an ``.npy`` file an image, for images that differ in shape."""

    folder: Path

    def write(self, start: int, array: Array) -> None:
        for row, values in enumerate(array, start):
            np.save(self._path(row), values, allow_pickle=False)

    def read(self, indices: Sequence[int]) -> Array:
        return np.stack([np.load(self._path(index), allow_pickle=False) for index in indices])

    def bytes(self, images: int) -> int:
        return sum(np.load(self._path(image), mmap_mode="r").nbytes for image in range(images))

    def close(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()

    def _path(self, image: int) -> Path:
        return self.folder / f"{image}.npy"


@dataclass(frozen=True)
class _File:
    """An open ``.npy`` file of `[images, *shape]` whose values begin at `offset`."""

    path: Path
    handle: int
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row(self) -> int:
        """Bytes of an image."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def write(self, start: int, array: Array) -> None:
        data = np.ascontiguousarray(array, self.dtype).data.cast("B") if array.size else memoryview(b"")
        place = self.offset + start * self.row
        while data:
            written = os.pwrite(self.handle, data, place)
            data, place = data[written:], place + written

    def read(self, indices: Sequence[int]) -> Array:
        """Return the images with these indices; neighbours on disk are read together."""
        values = np.empty((len(indices), *self.shape), self.dtype)
        data = values.data.cast("B") if values.size else memoryview(b"")
        first = 0
        while first < len(indices) and data:
            last = first + 1
            while last < len(indices) and indices[last] == indices[last - 1] + 1:
                last += 1
            self._fill(data[first * self.row : last * self.row], self.offset + indices[first] * self.row)
            first = last
        return values

    def bytes(self, images: int) -> int:
        return images * self.row

    def close(self) -> None:
        os.close(self.handle)
        self.path.unlink(missing_ok=True)

    def _fill(self, data: memoryview, place: int) -> None:
        while data:
            count = os.preadv(self.handle, [data], place)
            if count == 0:
                raise ValueError(f"{self.path}: the file is too short")
            data, place = data[count:], place + count


class Spill:
    """Named arrays `[images, ...]` in one folder, each a ``.npy`` file that is filled batch by batch.

    even: whether all images of a name have one shape; else each has a file of its own, and only images of one shape can
    be read together.
    """

    def __init__(self, folder: Path, images: int, *, even: bool = True) -> None:
        self.folder = folder
        self.images = images
        self.even = even
        self._files: dict[str, _Store] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def opened(cls, folder: Path, images: int, names: Sequence[str]) -> Spill:
        """Return what another process has filled, for reading; `names` in the order of their first `put`."""
        spill = cls(folder, images)
        for index, name in enumerate(names):
            uneven = folder / str(index)
            spill.even = not uneven.is_dir()
            spill._files[name] = _opened(folder / f"{index}.npy") if spill.even else _Uneven(uneven)
        return spill

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names in the order of their first `put`."""
        return tuple(self._files)

    def put(self, start: int, arrays: Mapping[str, Array]) -> None:
        """Store a batch whose first image has the index `start`; axis 0 of every array is the batch."""
        for name, array in arrays.items():
            if name not in self._files:
                self._files[name] = self._made(self.folder / str(len(self._files)), array)
            self._files[name].write(start, array)

    def _made(self, path: Path, like: Array) -> _Store:
        if self.even:
            return _created(path.with_suffix(".npy"), (self.images, *like.shape[1:]), like.dtype)
        path.mkdir(exist_ok=True)
        return _Uneven(path)

    def get(self, start: int, stop: int, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the images start (included) to stop (excluded), by name."""
        return self.pick(range(start, min(stop, self.images)), names)

    def pick(self, indices: Sequence[int], names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the images with these indices, in this order, by name."""
        return {name: self._files[name].read(indices) for name in (names or self._files)}

    def bytes(self) -> int:
        """Return the size of the values on disk."""
        return sum(file.bytes(self.images) for file in self._files.values())

    def close(self) -> None:
        """Delete the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _created(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _File:
    """Return a new file whose room on the disk is taken: that it is full is known before the first batch."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        offset = file.tell()
    made = _File(path, os.open(path, os.O_RDWR | os.O_CLOEXEC), offset, shape[1:], dtype)
    size = offset + shape[0] * made.row
    try:
        os.posix_fallocate(made.handle, 0, size)
    except OSError as error:
        os.close(made.handle)
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    return made


def _opened(path: Path) -> _File:
    with path.open("rb") as file:
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file)
        offset = file.tell()
    return _File(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), offset, shape[1:], dtype)


def slices(count: int, batch: int, *, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive batches, stop excluded, until `count`."""
    for first in range(start, count, batch):
        yield first, min(first + batch, count)
