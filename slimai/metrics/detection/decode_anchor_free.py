"""YOLOX and YOLOv8 heads: grid cells without anchors to candidate boxes.

Formulas: Ge et al., "YOLOX" (2021) section 2.1: xy = (t + cell) * stride, wh = e^t * stride at strides 8, 16, 32.
YOLOv8's exported head is already in input pixels (CX, CY, W, H) and has no objectness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.metrics.detection.boxes import to_corners
from slimai.metrics.detection.decode_yolo import exp
from slimai.metrics.detection.detections import Detections
from slimai.metrics.detection.options import DetectionOptions

STRIDES = (8, 16, 32)

__all__ = ["STRIDES", "decode_yolov8", "decode_yolox"]


def decode_yolox(outputs: Sequence[NDArray[Any]], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with objectness * class > threshold, corners in input pixels.

    outputs: one [1, n, 5 + classes], or one [1, 5 + classes, h, w] a stride; objectness and classes are
    probabilities. Every class of a cell is a candidate.
    """
    cells, strides = _grid(options.need_input_size())
    rows = _rows(outputs, len(cells), names, extra=5, channels_first=False)
    near = np.flatnonzero(rows[:, 4] > options.threshold)
    picked = np.asarray(rows[near], np.float64)
    centre = (picked[:, :2] + cells[near]) * strides[near]
    side = exp(picked[:, 2:4]) * strides[near]
    corners = to_corners(np.concatenate([centre, side], axis=1), center=True, yfirst=False)
    return _candidates(corners, picked[:, 4:5] * picked[:, 5:], near, options.threshold)


def decode_yolov8(outputs: Sequence[NDArray[Any]], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with class score > threshold, corners in input pixels.

    outputs: one [1, 4 + classes, n] (or [1, n, 4 + classes] with layout HWC) in input pixels and probabilities.
    """
    cells, _ = _grid(options.need_input_size())
    rows = _rows(outputs, len(cells), names, extra=4, channels_first=options.layout != "HWC")
    near = np.flatnonzero((rows[:, 4:] > options.threshold).any(axis=1))
    picked = np.asarray(rows[near], np.float64)
    corners = to_corners(picked[:, :4], center=True, yfirst=False)
    return _candidates(corners, picked[:, 4:], near, options.threshold)


def _candidates(
    corners: NDArray[np.float64], scores: NDArray[np.float64], near: NDArray[np.intp], threshold: float
) -> Detections:
    row, label = np.nonzero(scores > threshold)
    return Detections(corners[row], scores[row, label], label.astype(np.int64), near[row].astype(np.int64))


def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cells' columns and rows [n, 2] and strides [n, 1], stride by stride, row by row."""
    cells, strides = [], []
    for stride in STRIDES:
        row, column = np.indices((size[1] // stride, size[0] // stride)).reshape(2, -1)
        cells.append(np.stack([column, row], axis=1).astype(np.float64))
        strides.append(np.full((len(row), 1), float(stride)))
    return np.concatenate(cells), np.concatenate(strides)


def _rows(
    outputs: Sequence[NDArray[Any]], count: int, names: Sequence[str], *, extra: int, channels_first: bool
) -> NDArray[Any]:
    """Return the head as [count, extra + classes]."""
    if len(outputs) == len(STRIDES) and all(output.ndim == 4 for output in outputs):
        parts = [output.reshape(output.shape[1], -1).T for output in outputs]
        widths = {part.shape[1] for part in parts}
        rows = np.concatenate(parts) if len(widths) == 1 else None
    else:
        grid = outputs[0].reshape(outputs[0].shape[-2:]) if outputs[0].size == np.prod(outputs[0].shape[-2:]) else None
        rows = grid.T if grid is not None and channels_first else grid
    if rows is None or rows.shape[0] != count or rows.shape[1] <= extra:
        shapes = ", ".join(str(list(output.shape)) for output in outputs)
        order = f"[1, {extra} + classes, {count}]" if channels_first else f"[1, {count}, {extra} + classes]"
        raise InputError.at(
            f"output '{names[0]}'", f"the head must be {order} at this input_size", shapes, cure="check input_size"
        )
    return rows
