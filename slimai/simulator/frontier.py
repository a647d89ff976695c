"""What a network has computed so far, for all images, on disk: tensors that later layers still read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from slimai.artifacts.spill import Spill

Array = NDArray[Any]


class Frontier:
    """Tensors of `images` images, each in files of its own below `folder`, so that it can be given back by itself.

    stacked: the arrays' leading axis counts images; otherwise each image is one array with a leading axis of its own.
    """

    def __init__(self, folder: Path, images: int, *, stacked: bool) -> None:
        self._folder, self._images, self._stacked = folder, images, stacked
        self._tensors: dict[str, Spill] = {}
        self._made = 0

    def put(self, first: int, values: Mapping[str, Array]) -> None:
        """Store tensors of the images from `first` on."""
        for name, value in values.items():
            if name not in self._tensors:
                self._tensors[name] = Spill(self._folder / str(self._made), self._images)
                self._made += 1
            self._tensors[name].put(first, {name: value if self._stacked else value[None]})

    def get(self, start: int, stop: int, names: Iterable[str]) -> dict[str, Array]:
        """Return tensors of the images start (included) to stop (excluded); one image where they are not stacked."""
        found = {name: self._tensors[name].get(start, stop)[name] for name in names}
        return found if self._stacked else {name: value[0] for name, value in found.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the tensors that are held."""
        return tuple(self._tensors)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all tensors but these."""
        for name in set(self._tensors) - set(names):
            self._drop(name)

    def close(self) -> None:
        """Delete the files."""
        self.keep(())

    def _drop(self, name: str) -> None:
        spill = self._tensors.pop(name)
        spill.close()
        spill.folder.rmdir()
