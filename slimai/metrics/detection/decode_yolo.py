"""YOLO v2 and v3 heads: grid cells with anchors to candidate boxes.

Formulas: Redmon, Farhadi, "YOLO9000" (2016) section 2 and "YOLOv3" (2018) section 2.1; the channel
order of a cell is anchor by anchor x, y, w, h, objectness, classes, as Darknet writes its heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.metrics.detection.detections import Detections
from slimai.metrics.detection.options import DetectionOptions

__all__ = ["decode_yolo", "exp", "head_classes", "sigmoid"]

LARGEST_EXPONENT = 80.0  # e^80 pixels is beyond any picture and far from the end of float64


def sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return 1 / (1 + e^-x) in float64, without overflow for any x."""
    wide = np.asarray(values, np.float64)
    small = np.exp(-np.abs(wide))
    return np.where(wide >= 0, 1.0, small) / (1.0 + small)


def exp(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return e^x in float64, with x limited to 80 so that a wild output cannot overflow."""
    grown: NDArray[np.float64] = np.exp(np.minimum(np.asarray(values, np.float64), LARGEST_EXPONENT))
    return grown


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis."""
    grown = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = grown / grown.sum(axis=-1, keepdims=True)
    return shares


def head_classes(shape: Sequence[int], anchors: int, layout: str, output: str) -> int:
    """Return the number of classes of a head; raises InputError where its channels do not divide.

    shape: [1, channels, h, w] for layout CHW, [1, h, w, channels] for HWC.
    """
    if len(shape) != 4:
        raise InputError.at(
            f"output '{output}'", f"a YOLO head has 4 dimensions, {layout} after the batch", tuple(shape)
        )
    channels = shape[1] if layout == "CHW" else shape[3]
    if channels % anchors or channels // anchors < 6:
        raise InputError.at(
            f"output '{output}'",
            f"{channels} channels (layout {layout}) are not {anchors} anchors x (5 + classes)",
            tuple(shape),
            cure="check layout, the anchors of this head and the order of the outputs",
        )
    return channels // anchors - 5


def decode_yolo(outputs: Sequence[NDArray[Any]], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates of all heads with score > threshold, corners in input pixels.

    outputs: head k uses `options.anchors[k]`. Score = objectness * class. v2: softmax over the classes,
    one label a box; v3: a sigmoid a class, a box may carry several labels.
    """
    layout = options.layout or "CHW"
    version = options.yolo or ("v2" if len(options.anchors) == 1 else "v3")
    if len(outputs) != len(options.anchors):
        raise InputError.at(
            "metric.metric_input",
            f"{len(options.anchors)} brackets of anchors for {len(outputs)} outputs ({', '.join(names)})",
            cure="give one bracket a head, in the order of the outputs",
        )
    parts = []
    for output, anchors, name in zip(outputs, options.anchors, names, strict=True):
        classes = head_classes(output.shape, len(anchors), layout, name)
        cells = _cells(output, len(anchors), classes, layout)
        parts.append(_decode_head(cells, np.array(anchors), options, version))
    return Detections.join(parts)


def _cells(output: NDArray[Any], anchors: int, classes: int, layout: str) -> NDArray[Any]:
    """Return the head as [anchors, h, w, 5 + classes]."""
    if layout == "CHW":
        height, width = output.shape[2:]
        return output.reshape(anchors, 5 + classes, height, width).transpose(0, 2, 3, 1)
    height, width = output.shape[1:3]
    return output.reshape(height, width, anchors, 5 + classes).transpose(2, 0, 1, 3)


def _decode_head(
    cells: NDArray[Any], anchors: NDArray[np.float64], options: DetectionOptions, version: str
) -> Detections:
    objectness = sigmoid(cells[..., 4])
    # a class probability is at most 1, so a cell whose objectness is not above the threshold has no candidate
    which, row, column = np.nonzero(objectness > options.threshold)
    picked = np.asarray(cells[which, row, column], np.float64)
    scores = objectness[which, row, column, None] * _class_shares(picked[:, 5:], version)
    box, label = np.nonzero(scores > options.threshold)
    step = np.array(options.need_input_size()) / np.array([cells.shape[2], cells.shape[1]])
    centre = (sigmoid(picked[:, :2]) + np.stack([column, row], axis=1)) * step
    half = exp(picked[:, 2:4]) * anchors[which] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    return Detections(corners[box], scores[box, label], label.astype(np.int64), box.astype(np.int64))


def _class_shares(values: NDArray[np.float64], version: str) -> NDArray[np.float64]:
    if version == "v3" or not len(values):
        return sigmoid(values)
    shares = softmax(values)
    best = np.arange(shares.shape[1])[None, :] == shares.argmax(axis=1)[:, None]
    return np.where(best, shares, -1.0)
