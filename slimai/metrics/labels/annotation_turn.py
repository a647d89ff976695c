"""Whether an annotation belongs to the picture as it is stored, or as its EXIF orientation turns it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.data.exif import UPRIGHT, swaps, turn_points, turned_size
from slimai.data.sample import ImageGeometry
from slimai.errors import Diagnostic

Size = tuple[int, int]
Made = Literal["turned", "stored"]
KEY = "metric.annotation_exif"

__all__ = ["Made", "doubt", "same_aspect", "turn_boxes", "turn_needed"]


def same_aspect(one: Size, other: Size) -> bool:
    """Return whether the ratios width / height differ by at most 2 %, exactly: max(a, b) / min(a, b) <= 1.02."""
    first, second = one[0] * other[1], other[0] * one[1]
    return 50 * abs(first - second) <= min(first, second)


def turn_needed(told: Size | None, geometry: ImageGeometry | None, made: Made) -> tuple[int, bool]:
    """Return the orientation by which the annotation is turned (1 = not at all), and whether `made` decided it.

    told: (width, height) that the annotation gives. Where the sides change places and only one of the two ways has
    the annotation's size, or else its aspect ratio, that is the way; else sizes cannot tell.
    """
    if geometry is None or geometry.orientation == UPRIGHT:
        return UPRIGHT, False
    upright = geometry.original
    stored = turned_size(upright, geometry.orientation)
    if told is not None and swaps(geometry.orientation):
        for fits in (lambda size: told == size, lambda size: same_aspect(told, size)):
            if fits(upright) != fits(stored):
                return (geometry.orientation if fits(stored) else UPRIGHT), False
    return (geometry.orientation if made == "stored" else UPRIGHT), True


def turn_boxes(boxes: NDArray[np.float64], stored: Size, orientation: int) -> NDArray[np.float64]:
    """Return corners [m, 4] of the stored picture in the upright one."""
    if orientation == UPRIGHT:
        return boxes
    ends = [turn_points(boxes[:, at : at + 2], stored, orientation) for at in (0, 2)]
    turned: NDArray[np.float64] = np.concatenate([np.minimum(*ends), np.maximum(*ends)], axis=1)
    return turned


def doubt(count: int, made: Made) -> list[Diagnostic]:
    """Return the warning about `count` pictures whose sizes do not tell; none for none."""
    if not count:
        return []
    other: dict[str, Any] = {"turned": "stored", "stored": "turned"}
    message = f"{count} pictures are turned by EXIF, and sizes do not tell whether their annotations are"
    return [
        Diagnostic(
            f"{message}: they are taken as made for the {made} picture",
            key=KEY,
            suggestion=f"set metric.annotation_exif: {other[made]} where they are not",
            severity="warning",
        )
    ]
