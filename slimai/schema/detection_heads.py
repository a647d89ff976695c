"""The detector heads that `custom_pp` names, one row each: their needs, the options that are theirs, their decoder."""

from __future__ import annotations

from dataclasses import dataclass

_CELLS = "slimai.metrics.detection.decode_cells"
_LISTED = "slimai.metrics.detection.decode_listed"
_FREE = "slimai.metrics.detection.decode_anchor_free"


@dataclass(frozen=True)
class Head:
    """One kind of head.

    outputs: what the network's outputs are, in order. least: how many there are at least. nms_iou: overlap above which
    a box is suppressed, unless `iou_threshold` is given. needs: options that must be given. owns: options that no other
    head has, but those that name it too. decoder: ``module:function``.
    """

    outputs: str
    least: int
    nms_iou: float
    decoder: str
    needs: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()


HEADS: dict[str, Head] = {
    "yolo": Head(
        outputs="one a scale of anchors",
        least=1,
        nms_iou=0.45,
        decoder="slimai.metrics.detection.decode_yolo:decode_yolo",
        needs=("input_size", "anchors"),
        owns=("anchors", "yolo"),
    ),
    "ssd": Head(
        outputs="boxes, scores",
        least=2,
        nms_iou=0.45,
        decoder="slimai.metrics.detection.decode_ssd:decode_ssd",
        needs=("input_size",),
        owns=("priors",),
    ),
    "yolox": Head(
        outputs="boxes with objectness and classes, whole or one a stride",
        least=1,
        nms_iou=0.65,
        decoder=f"{_FREE}:decode_yolox",
        needs=("input_size",),
    ),
    "yolov8": Head(
        outputs="boxes with classes", least=1, nms_iou=0.7, decoder=f"{_FREE}:decode_yolov8", needs=("input_size",)
    ),
    "gfl": Head(
        outputs="scores and distributions, whole or of each stride",
        least=1,
        nms_iou=0.6,
        decoder=f"{_CELLS}:decode_gfl",
        needs=("input_size",),
        owns=("reg_max", "strides", "cell_offset", "logits"),
    ),
    "yunet": Head(
        outputs="class, objectness and box of each stride",
        least=3,
        nms_iou=0.3,
        decoder=f"{_CELLS}:decode_yunet",
        needs=("input_size",),
        owns=("strides",),
    ),
    "facebox": Head(outputs="boxes, scores", least=2, nms_iou=0.3, decoder=f"{_LISTED}:decode_facebox"),
    "decoded": Head(outputs="boxes with classes", least=1, nms_iou=0.7, decoder=f"{_LISTED}:decode_decoded"),
    "fastestdet": Head(
        outputs="objectness, box and classes of each cell",
        least=1,
        nms_iou=0.45,
        decoder=f"{_CELLS}:decode_fastestdet",
        needs=("input_size",),
    ),
}


def owners(option: str) -> tuple[str, ...]:
    """Return the heads that an option belongs to; none for an option that all share."""
    return tuple(name for name, head in HEADS.items() if option in head.owns)


OWNED: tuple[str, ...] = tuple(dict.fromkeys(option for head in HEADS.values() for option in head.owns))
