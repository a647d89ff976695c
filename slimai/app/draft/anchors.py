"""Anchors of a YOLO head: what labelled boxes and the network's own outputs say of them.

A cell that is sure of an object gives its width as e^t * anchor; where the box is labelled, the anchor is the labelled
width / e^t. The median over the labelled boxes of an anchor is its estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.detection.decode_yolo import exp, sigmoid

Array = NDArray[Any]
Anchors = list[list[list[int]]]
LEAST_BOXES = 3  # labelled boxes that an anchor's estimate rests on, at least
SURE = 0.3  # objectness above which a cell is taken to mean the object in it
SIZES = ((2.0, 2.0), (3.0, 5.0), (6.0, 4.0), (5.0, 8.0), (8.0, 6.0))  # in strides

__all__ = ["estimated_anchors", "usual_anchors"]


def usual_anchors(shapes: Sequence[tuple[int, ...]], layout: str, size: tuple[int, int], number: int) -> Anchors:
    """Return round anchors for heads of these shapes: a stand-in, in input pixels, for those that are not known."""
    widths = [shape[3] if layout == "CHW" else shape[2] for shape in shapes]
    return [[[round(w * size[0] / cells), round(h * size[0] / cells)] for w, h in SIZES[:number]] for cells in widths]


def estimated_anchors(
    usual: Anchors, layout: str, size: tuple[int, int], images: Sequence[tuple[Sequence[Array], Array]]
) -> tuple[Anchors, int, bool]:
    """Return anchors, how many labelled boxes they rest on, and whether every one rests on enough of them.

    usual: what stays where there is too little to go by. images: the heads' outputs, and the labelled boxes [n, 4] as
    corners in input pixels, of each picture.
    """
    found: list[list[list[Array]]] = [[[] for _ in head] for head in usual]
    for outputs, boxes in images:
        for own, output in zip(found, outputs, strict=True):
            _gather(own, output, boxes, layout, size)
    anchors: Anchors = []
    total, whole = 0, True
    for head, own in zip(usual, found, strict=True):
        anchors.append([])
        for stand_in, seen in zip(head, own, strict=True):
            total += len(seen)
            enough = len(seen) >= LEAST_BOXES
            whole = whole and enough
            middle = np.median(np.array(seen), axis=0) if enough else np.array(stand_in)
            anchors[-1].append([max(1, int(value)) for value in np.rint(np.clip(middle, 1, 65536))])
    return anchors, total, whole


def _gather(found: list[list[Array]], output: Array, boxes: Array, layout: str, size: tuple[int, int]) -> None:
    """Add (width, height) / e^t of the surest anchor in the cell of each box's centre."""
    number = len(found)
    grid = output[0] if layout == "HWC" else np.moveaxis(output[0], 0, -1)
    height, width = grid.shape[:2]
    cells = grid.reshape(height, width, number, -1)
    for box in boxes:
        column = int((box[0] + box[2]) / 2 * width / size[0])
        row = int((box[1] + box[3]) / 2 * height / size[1])
        if not (0 <= row < height and 0 <= column < width):
            continue
        objectness = sigmoid(cells[row, column, :, 4])
        best = int(np.argmax(objectness))
        if objectness[best] > SURE:
            found[best].append((box[2:] - box[:2]) / exp(cells[row, column, best, 2:4]))
