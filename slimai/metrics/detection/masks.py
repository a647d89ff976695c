"""Instance masks: from an output to masks of the original picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import ImageGeometry
from slimai.errors import InputError
from slimai.metrics.detection.detections import Detections

Floats = NDArray[np.floating[Any]]

CUT = 0.5

__all__ = ["instance_masks"]


def instance_masks(
    output: NDArray[Any],
    found: Detections,
    geometry: ImageGeometry | None,
    input_size: tuple[int, int] | None,
    picture: tuple[int, int],
) -> NDArray[np.uint8]:
    """Return a mask [n, h, w] uint8 of the original picture for each detection; 1 where the value is above 0.5.

    output: (1, N, h, w); whole pictures when h x w is the network's input size, else the inside of the boxes.
    found: detections in pixels of the picture; `rows` says which of the N masks is theirs. picture: (width, height).
    """
    if output.ndim != 4 or output.shape[0] != 1 or (len(found) and found.rows.max() >= output.shape[1]):
        raise InputError("instance masks must be (1, N, h, w), one for each box " + f"(got {output.shape})")
    masks = np.asarray(output[0], np.float64)[found.rows]
    if input_size is not None and output.shape[2:] == input_size[::-1]:
        return _from_whole(masks, geometry or ImageGeometry(picture, input_size), picture)
    return _from_boxes(masks, found.boxes, picture)


def _from_whole(masks: Floats, geometry: ImageGeometry, picture: tuple[int, int]) -> NDArray[np.uint8]:
    x = (np.arange(picture[0]) + 0.5) * geometry.scale[0] + geometry.offset[0]
    y = (np.arange(picture[1]) + 0.5) * geometry.scale[1] + geometry.offset[1]
    whole = np.zeros((len(masks), picture[1], picture[0]), np.uint8)
    for at, mask in enumerate(masks):
        whole[at] = _sample(mask, x, y) > CUT
    return whole


def _from_boxes(masks: Floats, boxes: Floats, picture: tuple[int, int]) -> NDArray[np.uint8]:
    columns, rows = np.arange(picture[0]) + 0.5, np.arange(picture[1]) + 0.5
    pasted = np.zeros((len(masks), picture[1], picture[0]), np.uint8)
    for at, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        side = np.maximum(box[2:] - box[:2], 1e-9)
        x = (columns - box[0]) / side[0] * mask.shape[1]
        y = (rows - box[1]) / side[1] * mask.shape[0]
        inside_x, inside_y = (x >= 0) & (x <= mask.shape[1]), (y >= 0) & (y <= mask.shape[0])
        pasted[at][np.ix_(inside_y, inside_x)] = _sample(mask, x[inside_x], y[inside_y]) > CUT
    return pasted


def _sample(mask: Floats, x: Floats, y: Floats) -> Floats:
    """Return the mask at columns `x` and rows `y` (pixel k covers k..k+1), linearly between pixel centres."""
    left, right, across = _between(x, mask.shape[1])
    top, bottom, down = _between(y, mask.shape[0])
    columns = mask[:, left] * (1 - across) + mask[:, right] * across
    return columns[top] * (1 - down)[:, None] + columns[bottom] * down[:, None]


def _between(at: Floats, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    centre = np.clip(at - 0.5, 0, size - 1)
    low = np.floor(centre).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), centre - low
