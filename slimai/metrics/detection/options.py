"""The options that every detection metric shares, and the head decoders' view of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.schema.detection_heads import HEADS

Head = Literal["yolo", "ssd", "yolox", "yolov8", "gfl", "yunet", "facebox", "decoded", "fastestdet"]
Anchors = tuple[tuple[tuple[float, float], ...], ...]

__all__ = ["Anchors", "DetectionOptions", "Head", "Priors"]


@dataclass(frozen=True)
class Priors:
    """SSD priors: corners [n, 4] in input pixels; variances [n, 2] of centre and size, or [n, 4]."""

    corners: NDArray[np.float64]
    variances: NDArray[np.float64]


@dataclass(frozen=True)
class DetectionOptions:
    """How the outputs of a detector are read.

    scale: factors of x and y that bring the outputs' boxes to input pixels (1 / div where div is set).
    input_size: (width, height) of the network's input in pixels. anchors: pixels, one tuple a head.
    strides: of the grids, in input pixels. reg_max: the largest distance of a distribution, in strides. cell_offset:
    the place in a cell that distances start from, in strides. logits: class scores want a sigmoid. classes: how many
    the class table asks the head for, None where it may have any number.
    iou_threshold: of the suppression; None = the head's usual one, and no suppression without `head`.
    """

    head: Head | None = None
    center: bool = False
    yfirst: bool = False
    threshold: float = 0.0
    data_offset: int = 0
    scale: tuple[float, float] = (1.0, 1.0)
    input_size: tuple[int, int] | None = None
    iou_threshold: float | None = None
    layout: Literal["HWC", "CHW"] | None = None
    anchors: Anchors = ()
    yolo: Literal["v2", "v3"] | None = None
    priors: Priors | None = None
    strides: tuple[int, ...] = (8, 16, 32)
    reg_max: int = 7
    cell_offset: float = 0.5
    logits: bool = False
    classes: int | None = None

    @property
    def nms_iou(self) -> float | None:
        """Return the overlap above which a box is suppressed, or None when nothing is."""
        if self.iou_threshold is not None or self.head is None:
            return self.iou_threshold
        return HEADS[self.head].nms_iou

    def need_input_size(self) -> tuple[int, int]:
        """Return the input size; raises InputError where it is not known."""
        if self.input_size is None:
            raise InputError.at(
                "metric.metric_input", f"custom_pp={self.head} needs input_size", cure="add input_size=<width>:<height>"
            )
        return self.input_size
