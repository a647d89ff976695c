"""An ``.npy`` file as one input of a network: floats, whole numbers, or one array a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.files import ARRAY_DTYPES, read_array, wrong_file
from slimai.data.sample import Sample
from slimai.graph.samples import sample_shape

Array = NDArray[Any]
WHOLE = ("int64", "int32", "int16", "int8", "uint8")  # types of files that whole-number inputs are read from


@dataclass(frozen=True)
class ArrayForm:
    """What an input takes.

    shape: the input's shape at batch 1. dtype: float32, int32 or int64. sequence: whether axis 0 of a file is steps.
    limits: of whole numbers, smallest and largest (both included); None = those of the type. reader: whose limits they
    are, for messages. resized: whether a picture in its place would be resized.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    sequence: bool = False
    limits: tuple[int, int] | None = None
    reader: str = ""
    resized: bool = False

    @property
    def whole(self) -> bool:
        """Whether it takes whole numbers."""
        return self.dtype != "float32"

    def read(self, sample: Sample, file: Path) -> Array:
        """Return the file's values [1, ...], of a sequence [1, steps, ...], as they are stored; axes of 1 do not count.

        Raises:
            InputError: another shape, rank or type, or a number beyond the limits; it names file and list line.
        """
        found = read_array(sample, file, lambda shape: self._fits(sample, file, shape), self._types())
        own = sample_shape(self.shape)
        values = found.reshape((1, len(found), *own[1:]) if self.sequence else own)
        return self._within(sample, file, values) if self.whole else values

    def zeros(self) -> Array:
        """Return the zeros [1, ...] of a state that no file gives."""
        return np.zeros(sample_shape(self.shape), self.dtype)

    def _types(self) -> tuple[str, ...]:
        return WHOLE if self.whole else ARRAY_DTYPES

    def _fits(self, sample: Sample, file: Path, shape: tuple[int, ...]) -> None:
        wanted = f"the network's input {list(self.shape)}"
        if not self.sequence:
            if _without_ones(shape) != _without_ones(self.shape):
                cure = "resize does not apply to arrays" if self.resized else ""
                raise wrong_file(sample, file, f"the array's shape is {list(shape)}, {wanted}", cure)
            return
        step = _without_ones(self.shape)
        if not shape or shape[0] < 1 or _without_ones(shape[1:]) != step:
            cure = f"a sequence (seq: true) has its steps along axis 0: {['steps', *step]}".replace("'", "")
            raise wrong_file(sample, file, f"the array's shape is {list(shape)}, {wanted} a step", cure)

    def _within(self, sample: Sample, file: Path, values: Array) -> Array:
        kind = np.iinfo(self.dtype)
        low, high = self.limits or (int(kind.min), int(kind.max))
        beyond = values[(values < low) | (values > high)]
        if beyond.size:
            what = f"beyond the table of {self.reader}, which takes {low} to {high}"
            message = f"the number {int(beyond[0])} is {what if self.limits else f'no {self.dtype}'}"
            raise wrong_file(sample, file, message, "correct the array, or the network")
        return values.astype(self.dtype)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
