"""Arrays of a whole image set, on disk: written once in order, read by slices, memory stays flat."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

Array = NDArray[Any]


class Spill:
    """Named arrays `[images, ...]` in one folder, each a ``.npy`` file that is filled batch by batch."""

    def __init__(self, folder: Path, images: int) -> None:
        self.folder = folder
        self.images = images
        self._files: dict[str, np.memmap[Any, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def opened(cls, folder: Path, images: int, names: Sequence[str]) -> Spill:
        """Return what another process has filled, for reading; `names` in the order of their first `put`."""
        spill = cls(folder, images)
        for index, name in enumerate(names):
            spill._files[name] = open_memmap(folder / f"{index}.npy", mode="r")
        return spill

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names in the order of their first `put`."""
        return tuple(self._files)

    def put(self, start: int, arrays: Mapping[str, Array]) -> None:
        """Store a batch whose first image has the index `start`; axis 0 of every array is the batch."""
        for name, array in arrays.items():
            if name not in self._files:
                path = self.folder / f"{len(self._files)}.npy"
                shape = (self.images, *array.shape[1:])
                self._files[name] = open_memmap(path, mode="w+", dtype=array.dtype, shape=shape)
                _reserve(path)
            self._files[name][start : start + array.shape[0]] = array

    def get(self, start: int, stop: int, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return copies of the images start (included) to stop (excluded), by name."""
        return {name: np.array(self._files[name][start:stop]) for name in (names or self._files)}

    def pick(self, indices: Sequence[int], names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return copies of the images with these indices, in this order, by name."""
        chosen = list(indices)
        return {name: np.array(self._files[name][chosen]) for name in (names or self._files)}

    def bytes(self) -> int:
        """Return the size on disk."""
        return sum(file.nbytes for file in self._files.values())

    def close(self) -> None:
        """Delete the files."""
        for index, file in enumerate(self._files.values()):
            file.flush()
            (self.folder / f"{index}.npy").unlink(missing_ok=True)
        self._files.clear()


def _reserve(path: Path) -> None:
    """Take the file's room now: a page of a mapped file that finds the disk full ends the process by a signal."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def slices(count: int, batch: int, *, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive batches, stop excluded, until `count`."""
    for first in range(start, count, batch):
        yield first, min(first + batch, count)
