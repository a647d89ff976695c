"""What a detector found in one picture, as parallel arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.suggest import suggest

__all__ = ["VOC_NAMES", "ClassTable", "Detections", "best_first"]

VOC_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True)
class Detections:
    """Boxes [n, 4] float64 corners, scores [n] float64, classes [n] int64, rows [n] int64.

    rows: the place of each detection in the network's output, so that masks can be found again.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, picked: NDArray[np.int64] | NDArray[np.bool_]) -> Detections:
        """Return the picked detections, in that order."""
        return Detections(self.boxes[picked], self.scores[picked], self.classes[picked], self.rows[picked])

    @classmethod
    def join(cls, parts: list[Detections]) -> Detections:
        """Return the detections of all parts, in their order; rows are counted anew."""
        boxes = np.concatenate([part.boxes for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        classes = np.concatenate([part.classes for part in parts])
        return cls(boxes, scores, classes, np.arange(len(scores), dtype=np.int64))


@dataclass(frozen=True)
class ClassTable:
    """The classes that are scored. With `background`, index 0 is the background and 1 is `names[0]`."""

    names: tuple[str, ...]
    background: bool

    @classmethod
    def voc(cls, names: tuple[str, ...] = ()) -> ClassTable:
        """Return the table of `names` from index 0, or VOC's 20 names from 1 (0 = background)."""
        return cls(names, background=False) if names else cls(VOC_NAMES, background=True)

    @property
    def size(self) -> int:
        """Return the number of indices, the background included."""
        return len(self.names) + self.background

    def place(self, found: Detections, output: str) -> Detections:
        """Return `found` with classes counted from `names[0]`; background and negative ones are dropped.

        Raises: InputError for an index beyond the table, naming the network's output.
        """
        kept = found.take(found.classes >= int(self.background))
        beyond = kept.classes[kept.classes >= self.size]
        if len(beyond):
            raise InputError.at(
                f"output '{output}'",
                f"class index beyond the table of {self.size} entries ({self._shown()})",
                int(beyond[0]),
                cure="check data_offset and the class names",
            )
        return Detections(kept.boxes, kept.scores, kept.classes - int(self.background), kept.rows)

    def _shown(self) -> str:
        return ("0 = background, " if self.background else "") + f"{self.names[0]} .. {self.names[-1]}"

    def near(self, name: str) -> str:
        """Return a hint for a name that is not in the table."""
        return suggest(name, list(self.names))


def best_first(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order of falling scores; equal scores keep their order."""
    return np.argsort(-scores, kind="stable").astype(np.int64)
