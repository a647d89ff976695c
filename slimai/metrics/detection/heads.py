"""Does the head fit the options? Asked once, before any picture is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import Diagnostic, InputError
from slimai.metrics.detection.decode_cells import gfl_parts, yunet_parts
from slimai.metrics.detection.decode_listed import classes_last
from slimai.metrics.detection.decode_yolo import head_classes
from slimai.metrics.detection.detections import ClassTable
from slimai.metrics.detection.options import DetectionOptions
from slimai.schema.detection_heads import HEADS

Shape = Sequence[int]

__all__ = ["check_heads"]


def check_heads(
    options: DetectionOptions,
    table: ClassTable,
    names: Sequence[str],
    shapes: Sequence[Shape],
    *,
    exact: bool,
) -> None:
    """Raise InputError with everything in the options that does not fit the outputs.

    shapes: of the outputs at batch 1; empty = unknown. exact: the table was given for this network, so the
    head must have just its classes; otherwise it may have fewer.
    """
    mistakes = list(_missing(options, names))
    if not mistakes and shapes:
        mistakes += _CHECKS[options.head](options, table, names, shapes, exact)
    if mistakes:
        raise InputError(mistakes)


def _missing(options: DetectionOptions, names: Sequence[str]) -> Iterator[Diagnostic]:
    key = "metric.metric_input"
    row = None if options.head is None else HEADS[options.head]
    if row is not None and options.head != "ssd" and "input_size" in row.needs and options.input_size is None:
        cure = "add input_size=<width>:<height>"
        yield Diagnostic(f"custom_pp={options.head} needs input_size", key=key, suggestion=cure)
    if options.head == "yolo" and not options.anchors:
        yield Diagnostic("custom_pp=yolo needs anchors", key=key, suggestion="add anchors=[w:h;w:h;...], one a head")
    elif options.head == "yolo" and len(options.anchors) != len(names):
        message = f"{len(options.anchors)} brackets of anchors for {len(names)} outputs ({', '.join(names)})"
        cure = "give one bracket a head, in the order of the outputs"
        yield Diagnostic(message, key=key, suggestion=cure)
    if options.head == "ssd" and options.priors is None:
        yield Diagnostic("custom_pp=ssd needs priors", key=key, suggestion="add priors=<file>")
    if len(names) < (3 if row is None else row.least):
        kinds = "boxes, confidences, class indices" if row is None else row.outputs
        yield Diagnostic(
            f"the outputs must be {kinds}", key=key, value=list(names), suggestion="set custom_pp, or replace_output"
        )


def _check_yolo(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    mistakes: list[Diagnostic] = []
    for name, shape, anchors in zip(names, shapes, options.anchors, strict=True):
        try:
            classes = head_classes(shape, len(anchors), options.layout or "CHW", name)
        except InputError as error:
            mistakes.extend(error.diagnostics)
        else:
            mistakes += _check_classes(classes, options, table, name, exact)
    return mistakes


def _check_ssd(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    assert options.priors is not None  # noqa: S101 - `_missing` has refused it
    count = len(options.priors.corners)
    cure = "the order is boxes, scores (metric.replace_output); the priors must be this network's"
    mistakes = [
        Diagnostic(f"{kind} of {count} priors must be [1, {count}, {last}]", key=f"output '{name}'", value=list(shape),
                   suggestion=cure)
        for kind, last, name, shape in zip(("boxes", "scores"), ("4", "classes"), names, shapes, strict=False)
        if _trimmed(shape)[:1] != [count] or len(_trimmed(shape)) != 2 or (last == "4" and shape[-1] != 4)
    ]  # fmt: skip
    return mistakes or _check_classes(shapes[1][-1], options, table, names[1], exact)


def _trimmed(shape: Shape) -> list[int]:
    """Return the last two dimensions, or all where an earlier one is not 1."""
    return list(shape[-2:]) if all(side == 1 for side in shape[:-2]) else list(shape)


def _check_anchor_free(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    extra = 5 if options.head == "yolox" else 4
    if len(shapes) == 1:
        first = options.head == "yolov8" and options.layout != "HWC"
        channels = shapes[0][-2] if first and len(shapes[0]) > 1 else shapes[0][-1]
    else:
        channels = shapes[0][1] if len(shapes[0]) > 1 else 0
    return _check_classes(channels - extra, options, table, names[0], exact)


def _check_gfl(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    try:
        scores, _ = gfl_parts(_blank(shapes), options, names)
    except InputError as error:
        return list(error.diagnostics)
    return _check_classes(scores.shape[1], options, table, names[0], exact)


def _check_yunet(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    try:
        yunet_parts(_blank(shapes), options, names)
    except InputError as error:
        return list(error.diagnostics)
    return _check_classes(1, options, table, names[0], exact)


def _check_listed(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    if options.head == "facebox":
        boxes = math.prod(shapes[0]) // 4
        classes = math.prod(shapes[1]) // boxes if boxes and math.prod(shapes[1]) % boxes == 0 else 0
        if math.prod(shapes[0]) % 4 or not classes:
            return [Diagnostic("the head must be boxes [1, n, 4] and scores [1, n] or [1, n, classes]",
                               key=f"output '{names[0]}'", value=[list(shape) for shape in shapes[:2]],
                               suggestion="order them with metric.replace_output")]  # fmt: skip
    else:
        two = _trimmed(shapes[0])
        if len(two) != 2:
            message = "the head must be [1, 4 + classes, n] or [1, n, 4 + classes]"
            return [Diagnostic(message, key=f"output '{names[0]}'", value=list(shapes[0]))]
        classes = two[1 if classes_last(two, options) else 0] - 4
    return _check_classes(classes, options, table, names[-1 if options.head == "facebox" else 0], exact)


def _check_fastestdet(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    shape = list(shapes[0])[-3:]
    classes = (shape[-1] if options.layout == "HWC" else shape[0]) - 5 if len(shape) == 3 else 0
    return _check_classes(classes, options, table, names[0], exact)


def _blank(shapes: Sequence[Shape]) -> list[NDArray[Any]]:
    """Return arrays of these shapes, to be looked at and not read."""
    return [np.broadcast_to(np.float32(0.5), tuple(shape)) for shape in shapes]


def _check_finished(
    options: DetectionOptions, table: ClassTable, names: Sequence[str], shapes: Sequence[Shape], exact: bool
) -> list[Diagnostic]:
    del options, table, names, shapes, exact
    return []


def _check_classes(
    classes: int, options: DetectionOptions, table: ClassTable, name: str, exact: bool
) -> list[Diagnostic]:
    last = classes + options.data_offset
    if classes >= 1 and (last == table.size if exact else last <= table.size):
        return []
    message = f"the head has {classes} classes, which with data_offset {options.data_offset} do not fit the table"
    background = " with background" if table.background else ""
    cure = f"the table has {table.size} entries{background}: check layout, data_offset and the class names"
    return [Diagnostic(message, key=f"output '{name}'", suggestion=cure)]


Check = Callable[[DetectionOptions, ClassTable, Sequence[str], Sequence[Shape], bool], list[Diagnostic]]
_CHECKS: dict[str | None, Check] = {
    None: _check_finished,
    "yolo": _check_yolo,
    "ssd": _check_ssd,
    "yolox": _check_anchor_free,
    "yolov8": _check_anchor_free,
    "gfl": _check_gfl,
    "yunet": _check_yunet,
    "facebox": _check_listed,
    "decoded": _check_listed,
    "fastestdet": _check_fastestdet,
}
