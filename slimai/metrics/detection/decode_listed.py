"""Heads that list boxes which the network has decoded itself: boxes and scores apart, or in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.metrics.detection.boxes import to_corners
from slimai.metrics.detection.detections import Detections
from slimai.metrics.detection.options import DetectionOptions

Array = NDArray[Any]

__all__ = ["classes_last", "decode_decoded", "decode_facebox"]


def decode_facebox(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with score > threshold of a network that ends in boxes and scores, without class indices.

    outputs: boxes of 4 numbers each, in the order that `center` and `yfirst` say; scores, one a box or one a class and
    box: every class is a candidate.
    """
    if len(outputs) < 2 or outputs[0].size % 4 or outputs[1].size % (outputs[0].size // 4 or 1):
        shapes = ", ".join(str(list(output.shape)) for output in outputs)
        raise InputError.at(
            f"output '{names[0]}'",
            "the head must be boxes [1, n, 4] and scores [1, n] or [1, n, classes]",
            shapes,
            cure="order them with metric.replace_output",
        )
    boxes = np.asarray(outputs[0], np.float64).reshape(-1, 4)
    scores = np.asarray(outputs[1], np.float64).reshape(len(boxes), -1) if len(boxes) else np.empty((0, 1))
    return _candidates(boxes, scores, options)


def decode_decoded(outputs: Sequence[Array], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with class score > threshold of one output of boxes and class scores.

    outputs: [1, 4 + C, n] or [1, n, 4 + C] (`classes_last`); boxes in the order that `center` and `yfirst` say.
    """
    shape: tuple[int, ...] = outputs[0].shape
    if outputs[0].ndim < 2 or outputs[0].size != shape[-2] * shape[-1]:
        raise InputError.at(
            f"output '{names[0]}'", "the head must be [1, 4 + classes, n] or [1, n, 4 + classes]", list(shape)
        )
    grid = np.asarray(outputs[0], np.float64).reshape(shape[-2:])
    rows = grid if classes_last(shape, options) else grid.T
    if rows.shape[1] <= 4:
        raise InputError.at(f"output '{names[0]}'", "no class score stands beside the boxes", list(shape))
    return _candidates(rows[:, :4], rows[:, 4:], options)


def classes_last(shape: Sequence[int], options: DetectionOptions) -> bool:
    """Return whether the last axis holds 4 + classes: the one that the class table names, else by layout and length.

    Without a table that names one axis alone, `layout: HWC` says the last; otherwise it is the shorter one, since boxes
    are more than classes.
    """
    sides = shape[-2:]
    if options.classes is not None and list(sides).count(4 + options.classes) == 1:
        return bool(sides[1] == 4 + options.classes)
    return options.layout == "HWC" or sides[1] < sides[0]


def _candidates(boxes: Array, scores: Array, options: DetectionOptions) -> Detections:
    corners = to_corners(boxes, center=options.center, yfirst=options.yfirst)
    row, label = np.nonzero(scores > options.threshold)
    return Detections(corners[row], scores[row, label], label.astype(np.int64), row.astype(np.int64))
