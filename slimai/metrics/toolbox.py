"""Label readers and calculators for metrics of one's own: the ones that the built-in metrics use.

Labels: `read_voc` (one Pascal VOC xml), `read_instances` (COCO json), `read_index_mask`, `read_binary_mask`,
`read_picture`. Boxes: `to_corners`, `iou`, `devkit_iou`, `clip`, `to_picture`. Heads: `decode_yolo`,
`decode_ssd`, `decode_yolox`, `decode_yolov8`, `decode_gfl`, `decode_yunet`, `decode_facebox`, `decode_decoded`,
`decode_fastestdet`, `read_priors`. Suppression: `nms`. Scores: `match` and `average_precision` (VOC devkit),
`coco_record` and `coco_ap` (pycocotools), `confusion` and `statistics` (segmentation), `psnr`, `ssim`, `l1`, `l2`,
`rank_of`, `cosine_similarity`. Blobs: `read_blob`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.blobs.reader import read_blob
from slimai.metrics.classification import rank_of
from slimai.metrics.detection.ap import HIT, IGNORED, MISS, average_precision, match
from slimai.metrics.detection.boxes import clip, devkit_iou, iou, to_corners, to_picture
from slimai.metrics.detection.coco import coco_ap, coco_record
from slimai.metrics.detection.decode_anchor_free import decode_yolov8, decode_yolox
from slimai.metrics.detection.decode_cells import decode_fastestdet, decode_gfl, decode_yunet
from slimai.metrics.detection.decode_listed import decode_decoded, decode_facebox
from slimai.metrics.detection.decode_ssd import decode_ssd, read_priors
from slimai.metrics.detection.decode_yolo import decode_yolo
from slimai.metrics.detection.detections import ClassTable, Detections, best_first
from slimai.metrics.detection.nms import suppress
from slimai.metrics.detection.options import DetectionOptions, Priors
from slimai.metrics.image import l1, l2, psnr, ssim
from slimai.metrics.labels.coco import read_instances
from slimai.metrics.labels.masks import read_binary_mask, read_index_mask, read_picture
from slimai.metrics.labels.voc import read_voc
from slimai.metrics.segmentation import confusion, statistics
from slimai.metrics.similarity import cosine_similarity

__all__ = [
    "HIT",
    "IGNORED",
    "MISS",
    "ClassTable",
    "DetectionOptions",
    "Detections",
    "Priors",
    "average_precision",
    "best_first",
    "clip",
    "coco_ap",
    "coco_record",
    "confusion",
    "cosine_similarity",
    "decode_decoded",
    "decode_facebox",
    "decode_fastestdet",
    "decode_gfl",
    "decode_ssd",
    "decode_yolo",
    "decode_yolov8",
    "decode_yolox",
    "decode_yunet",
    "devkit_iou",
    "iou",
    "l1",
    "l2",
    "match",
    "nms",
    "psnr",
    "rank_of",
    "read_binary_mask",
    "read_blob",
    "read_index_mask",
    "read_instances",
    "read_picture",
    "read_priors",
    "read_voc",
    "ssim",
    "statistics",
    "to_corners",
    "to_picture",
]


def nms(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float, most: int = 200
) -> NDArray[np.int64]:
    """Return which of the boxes [n, 4] (corners) of one class greedy suppression keeps, best first.

    A box goes when a better one overlaps it with IoU > threshold.
    """
    count = len(scores)
    found = Detections(
        np.asarray(boxes, np.float64).reshape(-1, 4),
        np.asarray(scores, np.float64),
        np.zeros(count, np.int64),
        np.arange(count, dtype=np.int64),
    )
    return suppress(found, threshold, most).rows
