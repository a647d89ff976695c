"""From the outputs of a detector to boxes in the original picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.detection import boxes as box_math
from slimai.metrics.detection.detections import ClassTable, Detections, best_first
from slimai.metrics.detection.nms import BOXES_AN_IMAGE, limit_candidates, suppress
from slimai.metrics.detection.options import DetectionOptions
from slimai.registry import Registry
from slimai.schema.detection_heads import HEADS

Decoder = Callable[[Sequence[NDArray[Any]], DetectionOptions, Sequence[str]], Detections]

__all__ = ["decode_finished", "detect"]


def decode_finished(outputs: Sequence[NDArray[Any]], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the boxes of a network that ends in boxes, confidences and class indices, with score > threshold."""
    if len(outputs) < 3:
        raise InputError.at(
            "metric.metric_input",
            "without custom_pp the outputs must be boxes, confidences, class indices",
            list(names),
            cure="order them with metric.replace_output, or set custom_pp",
        )
    count = outputs[1].size
    for output, name, width in ((outputs[0], names[0], 4), (outputs[2], names[2], 1)):
        if output.size != count * width:
            raise InputError.at(
                f"output '{name}'",
                f"{count} confidences in '{names[1]}' ask for {count * width} numbers here",
                tuple(output.shape),
                cure="the order is boxes, confidences, class indices; change it with metric.replace_output",
            )
    scores = np.asarray(outputs[1], np.float64).reshape(-1)
    classes = np.rint(np.asarray(outputs[2], np.float64).reshape(-1)).astype(np.int64)
    corners = box_math.to_corners(outputs[0], center=options.center, yfirst=options.yfirst)
    found = Detections(corners, scores, classes, np.arange(count, dtype=np.int64))
    return found.take(scores > options.threshold)


DECODERS: Registry[Decoder] = Registry("custom_pp", {name: head.decoder for name, head in HEADS.items()})


def detect(
    sample: Sample,
    outputs: Sequence[NDArray[Any]],
    names: Sequence[str],
    options: DetectionOptions,
    table: ClassTable,
) -> Detections:
    """Return what the network found in the picture `sample`, best first.

    Steps: decode; score > threshold; class offset and table; boxes to input pixels; at most 1000 a class;
    suppression; at most 200; boxes to the original picture, clipped to it. Classes count from `table.names[0]`.
    """
    decoder = decode_finished if options.head is None else DECODERS.get(options.head)
    found = decoder(outputs, options, names)
    shifted = Detections(found.boxes, found.scores, found.classes + options.data_offset, found.rows)
    found = table.place(shifted, names[min(2, len(names) - 1)])
    found = Detections(box_math.scaled(found.boxes, options.scale), found.scores, found.classes, found.rows)
    found = limit_candidates(found)
    found = _best(found) if options.nms_iou is None else suppress(found, options.nms_iou)
    geometry = sample.geometry or _identity(options)
    corners = box_math.to_picture(found.boxes, geometry) if geometry else found.boxes
    return Detections(corners, found.scores, found.classes, found.rows)


def _best(found: Detections) -> Detections:
    return found.take(best_first(found.scores)[:BOXES_AN_IMAGE])


def _identity(options: DetectionOptions) -> ImageGeometry | None:
    """Return the geometry of a picture that already has the network's size."""
    return ImageGeometry(options.input_size, options.input_size) if options.input_size else None
