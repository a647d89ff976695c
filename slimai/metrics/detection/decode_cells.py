"""Heads of grid cells without anchors: GFL (distances as distributions), YuNet and FastestDet to candidate boxes.

Formulas: Li et al., "Generalized Focal Loss" (2020) section 3.2: the distance to a side is the mean of softmax over the
bins 0 .. reg_max, in strides; PicoDet and NanoDet have such heads. YuNet: Wu et al., "YuNet: A Tiny Millisecond-level
Face Detector" (2023), and OpenCV's FaceDetectorYN: score = sqrt(class * objectness), centre = (cell + t) * stride,
size = e^t * stride. FastestDet (2022): score = objectness^0.6 * class^0.4 of the best class, centre =
(cell + tanh t) / cells, size = sigmoid(t) of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.metrics.detection.boxes import to_corners
from slimai.metrics.detection.decode_yolo import exp, sigmoid
from slimai.metrics.detection.detections import Detections
from slimai.metrics.detection.options import DetectionOptions

Array = NDArray[Any]
Floats = NDArray[np.float64]

OBJECTNESS_POWER, CLASS_POWER = 0.6, 0.4  # FastestDet's

__all__ = ["decode_fastestdet", "decode_gfl", "decode_yunet", "gfl_parts", "stride_cells", "yunet_parts"]


def decode_gfl(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with class score > threshold, corners in input pixels; every class of a cell is one.

    outputs: [1, n, C + 4 * bins], classes first; or scores [1, n, C] and distributions [1, n, 4 * bins] of each stride,
    or of all; bins = reg_max + 1. Scores are probabilities, or logits where the options say so.
    """
    scores, sides = gfl_parts(outputs, options, names)
    centre, strides = stride_cells(options, options.cell_offset)
    if options.logits:
        scores = sigmoid(scores)
    _check_probabilities(scores, names[0])
    near = np.flatnonzero((scores > options.threshold).any(axis=1))
    bins = np.asarray(sides[near], np.float64).reshape(len(near), 4, options.reg_max + 1)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    distance = (weights @ np.arange(options.reg_max + 1.0)) / weights.sum(axis=2) * strides[near]
    corners = np.concatenate([centre[near] - distance[:, :2], centre[near] + distance[:, 2:]], axis=1)
    return _every_class(corners, np.asarray(scores[near], np.float64), near, options.threshold)


def decode_yunet(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with sqrt(class * objectness) > threshold, class 0, corners in input pixels.

    outputs: of each stride class and objectness [1, n, 1], box [1, n, 4] and, not read, landmarks [1, n, 10].
    """
    scores, boxes = yunet_parts(outputs, options, names)
    cells, strides = stride_cells(options, 0.0)
    near = np.flatnonzero(scores > options.threshold)
    shape = np.asarray(boxes[near], np.float64)
    centre = cells[near] + shape[:, :2] * strides[near]
    corners = to_corners(np.concatenate([centre, exp(shape[:, 2:]) * strides[near]], axis=1), center=True, yfirst=False)
    return Detections(corners, scores[near], np.zeros(len(near), np.int64), near.astype(np.int64))


def decode_fastestdet(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the best class of each cell with objectness^0.6 * class^0.4 > threshold, corners in input pixels.

    outputs: one [1, 5 + C, h, w], or [1, h, w, 5 + C] with layout HWC: objectness, four numbers of the box, classes.
    """
    shape: tuple[int, ...] = outputs[0].shape
    grid: Array = outputs[0].reshape(shape[-3:])
    if options.layout == "HWC":
        grid = np.moveaxis(grid, -1, 0)
    sides: tuple[int, ...] = grid.shape
    if len(sides) != 3 or sides[0] <= 5:
        message = "the head must be [1, 5 + classes, h, w]"
        raise InputError.at(f"output '{names[0]}'", message, list(shape), cure="check layout")
    channels, height, width = sides
    rows = np.asarray(grid, np.float64).reshape(channels, height * width).T
    label = rows[:, 5:].argmax(axis=1)
    parts = np.clip(np.stack([rows[:, 0], rows[np.arange(len(rows)), 5 + label]]), 0.0, 1.0)
    scores: Floats = parts[0] ** OBJECTNESS_POWER * parts[1] ** CLASS_POWER
    near = np.flatnonzero(scores > options.threshold)
    size = np.array(options.need_input_size(), np.float64)
    cell = np.stack([near % width, near // width], axis=1).astype(np.float64)
    centre = (cell + np.tanh(rows[near, 1:3])) / np.array([width, height], np.float64) * size
    corners = to_corners(np.concatenate([centre, sigmoid(rows[near, 3:5]) * size], axis=1), center=True, yfirst=False)
    return Detections(corners, scores[near], label[near].astype(np.int64), near.astype(np.int64))


def gfl_parts(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> tuple[Array, Array]:
    """Return scores [n, C] and distributions [n, 4 * (reg_max + 1)] of all cells, stride by stride."""
    counts, width = _counts(options), 4 * (options.reg_max + 1)
    rows = [_cell_rows(output, counts) for output in outputs]
    if len(rows) == 1 and rows[0] is not None and rows[0].shape[1] > width:
        found = (rows[0][:, :-width], rows[0][:, -width:])
    else:
        half = len(rows) // 2
        wide = [at for at, item in enumerate(rows) if item is not None and item.shape[1] == width]
        sides = wide if len(wide) == half else list(range(half, len(rows)))  # as many classes as bins: classes first
        found = (
            _stacked([rows[at] for at in range(len(rows)) if at not in sides]),
            _stacked([rows[at] for at in sides]),
        )
    if found[0].shape[0] != sum(counts) or found[1].shape != (sum(counts), width) or not found[0].shape[1]:
        raise _misfit(
            outputs, names, f"[1, {sum(counts)}, classes + {width}], or scores and [1, n, {width}] of each stride"
        )
    return found


def yunet_parts(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> tuple[Floats, Array]:
    """Return sqrt(class * objectness) [n] and boxes [n, 4] of all cells, stride by stride."""
    counts = _counts(options)
    rows = [item for item in (_cell_rows(output, counts) for output in outputs) if item is not None]
    scores, boxes = [], []
    for count in counts:
        here = [item for item in rows if len(item) == count]
        pair, box = ([item for item in here if item.shape[1] == width] for width in (1, 4))
        if len(pair) == 2 and len(box) == 1:
            product = np.clip(np.asarray(pair, np.float64)[..., 0], 0.0, 1.0).prod(axis=0)
            scores.append(np.sqrt(product))
            boxes.append(box[0])
    if len(boxes) != len(counts):
        raise _misfit(outputs, names, f"class, objectness [1, n, 1] and box [1, n, 4] for n = {_listed(counts)}")
    return np.concatenate(scores), np.concatenate(boxes)


def stride_cells(options: DetectionOptions, offset: float) -> tuple[Floats, Floats]:
    """Return the places (column + offset, row + offset) * stride [n, 2] and the strides [n, 1], stride by stride."""
    places, strides = [], []
    for stride, (width, height) in zip(options.strides, _grids(options), strict=True):
        row, column = np.indices((height, width)).reshape(2, -1)
        places.append((np.stack([column, row], axis=1) + offset) * float(stride))
        strides.append(np.full((len(row), 1), float(stride)))
    return np.concatenate(places), np.concatenate(strides)


def _grids(options: DetectionOptions) -> list[tuple[int, int]]:
    width, height = options.need_input_size()
    return [(-(-width // stride), -(-height // stride)) for stride in options.strides]


def _counts(options: DetectionOptions) -> list[int]:
    return [width * height for width, height in _grids(options)]


def _cell_rows(output: Array, counts: Sequence[int]) -> Array | None:
    """Return an output as [cells, numbers], or None where none of its axes counts cells."""
    wanted = {*counts, sum(counts)}
    if output.ndim == 4 and output.shape[2] * output.shape[3] in wanted:  # [1, numbers, h, w]
        return output.reshape(output.shape[1], -1).T
    if output.ndim == 4 and output.shape[1] * output.shape[2] in wanted:  # [1, h, w, numbers]
        return output.reshape(-1, output.shape[3])
    if output.ndim >= 2 and output.shape[-2] in wanted and output.size == output.shape[-2] * output.shape[-1]:
        return output.reshape(output.shape[-2:])
    return None


def _stacked(parts: Sequence[Array | None]) -> Array:
    """Return the parts one below the other, or nothing where one has no cells or another width."""
    known = [part for part in parts if part is not None]
    if not known or len(known) != len(parts) or len({part.shape[1] for part in known}) > 1:
        return np.empty((0, 0))
    return np.concatenate(known)


def _every_class(corners: Floats, scores: Floats, near: NDArray[np.intp], threshold: float) -> Detections:
    row, label = np.nonzero(scores > threshold)
    return Detections(corners[row], scores[row, label], label.astype(np.int64), near[row].astype(np.int64))


def _check_probabilities(scores: Array, name: str) -> None:
    if scores.size and not (scores.min() >= 0.0 and scores.max() <= 1.0):
        wrong = float(scores.min() if scores.min() < 0.0 else scores.max())
        raise InputError.at(
            f"output '{name}'", "a class score is no probability", wrong, cure="add logits=True to metric_input"
        )


def _misfit(outputs: Sequence[Array], names: Sequence[str], wanted: str) -> InputError:
    shapes = ", ".join(str(list(output.shape)) for output in outputs)
    return InputError.at(
        f"output '{names[0]}'", f"the head must be {wanted}", shapes, cure="check input_size, strides and reg_max"
    )


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))
