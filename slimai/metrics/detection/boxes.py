"""Box arithmetic on arrays of corners ``[n, 4] float64`` in the order xmin, ymin, xmax, ymax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import ImageGeometry

Boxes = NDArray[np.float64]

__all__ = ["Boxes", "clip", "devkit_iou", "iou", "scaled", "to_corners", "to_picture"]


def to_corners(boxes: NDArray[Any], *, center: bool, yfirst: bool) -> Boxes:
    """Return `boxes` [n, 4] as corners.

    center, yfirst: the stored order is (CX, CY, W, H), (CY, CX, H, W), (XMIN, YMIN, XMAX, YMAX) or
    (YMIN, XMIN, YMAX, XMAX).
    """
    values = np.asarray(boxes, np.float64).reshape(-1, 4)
    if yfirst:
        values = values[:, [1, 0, 3, 2]]
    if not center:
        return values.copy()
    half = values[:, 2:] / 2
    corners: Boxes = np.concatenate([values[:, :2] - half, values[:, :2] + half], axis=1)
    return corners


def scaled(boxes: Boxes, scale: tuple[float, float]) -> Boxes:
    """Return corners with x multiplied by `scale[0]` and y by `scale[1]`."""
    moved: Boxes = boxes * np.array([scale[0], scale[1], scale[0], scale[1]])
    return moved


def to_input(boxes: Boxes, geometry: ImageGeometry) -> Boxes:
    """Return corners [n, 4] in pixels of the original picture in those of the network's input."""
    placed: Boxes = boxes * np.tile(geometry.scale, 2) + np.tile(geometry.offset, 2)
    return placed


def to_picture(boxes: Boxes, geometry: ImageGeometry) -> Boxes:
    """Return corners in pixels of the original picture, from pixels of the network's input, clipped to it."""
    offset = np.array(geometry.offset * 2, np.float64)
    scale = np.array(geometry.scale * 2, np.float64)
    return clip((boxes - offset) / scale, geometry.original)


def clip(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Return corners clipped to 0..width and 0..height (both ends included)."""
    clipped: Boxes = np.clip(boxes, 0.0, np.array([size[0], size[1], size[0], size[1]], np.float64))
    return clipped


def iou(one: Boxes, many: Boxes, *, unit: float = 0.0) -> NDArray[np.float64]:
    """Return the intersection over union [n, m] of two sets of corners.

    unit: added to every side: 0 for continuous coordinates, 1 for the inclusive pixels of the VOC devkit.
    A pair whose union is empty has 0.
    """
    low = np.maximum(one[:, None, :2], many[None, :, :2])
    high = np.minimum(one[:, None, 2:], many[None, :, 2:])
    sides = np.maximum(high - low + unit, 0.0)
    overlap = sides[..., 0] * sides[..., 1]
    union = _areas(one, unit)[:, None] + _areas(many, unit)[None, :] - overlap
    share: Boxes = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return share


def devkit_iou(one: Boxes, many: Boxes) -> NDArray[np.float64]:
    """Return `iou` with sides x2 - x1 + 1, as the Pascal VOC devkit measures (VOCevaldet.m)."""
    return iou(one, many, unit=1.0)


def _areas(boxes: Boxes, unit: float) -> NDArray[np.float64]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2] + unit, 0.0)
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas
