"""Float scores of the example networks: ``python examples/evaluate.py [NAME ...] [--model FILE]``.

Runs the ONNX files with ONNX Runtime on the committed validation sets. The detector is scored by pycocotools at
IoU 0.5, the classifier by top-1, the segmentation by the mean IoU over one confusion matrix. Nothing of slimai is
imported, so the figures are an independent check of its own metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import CLASSES, DATA, SCENES

Array = NDArray[np.float32]
# Anchor boxes (width, height) in pixels, one bracket a head, in the order of the outputs (coarse head first).
ANCHORS = (((20.0, 38.0), (27.0, 42.0), (32.0, 52.0)), ((9.0, 20.0), (13.0, 22.0), (17.0, 29.0)))
STRIDES = (16, 8)
SCORE_THRESHOLD = 0.05
NMS_IOU = 0.45
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Example:
    """Data set and preprocessing of one network: ``x = (pixel - mean) / stddev``, one number a channel (RGB)."""

    data: str
    mean: tuple[float, float, float]
    stddev: tuple[float, float, float]


EXAMPLES = {
    "yolo_digits": Example("digits_det", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "mobilenet_digits": Example("digits_cls", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "unet_digits": Example("digits_seg", (123.68, 116.78, 103.94), (58.4, 57.12, 57.38)),
}


def preprocess(pixels: NDArray[np.uint8], example: Example) -> Array:
    """Return network inputs ``[N, 3, H, W] float32`` of pictures ``[N, H, W, 3] uint8``."""
    mean, stddev = np.array(example.mean, np.float32), np.array(example.stddev, np.float32)
    return np.ascontiguousarray(((pixels.astype(np.float32) - mean) / stddev).transpose(0, 3, 1, 2))


def read_list(folder: Path, split: str) -> list[list[str]]:
    """Return the words of each line of an image list, the count line left out."""
    return [line.split() for line in (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()[1:]]


def read_pictures(folder: Path, lines: Sequence[Sequence[str]]) -> NDArray[np.uint8]:
    """Return the pictures of an image list, ``[N, H, W, 3] uint8``."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(folder / line[0]).convert("RGB")) for line in lines])


def sigmoid(x: Array) -> Array:
    """Return the logistic function of ``x``."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float32)


def decode_head(head: Array, anchors: Sequence[tuple[float, float]], stride: int) -> tuple[Array, Array]:
    """Return corner boxes ``[N, M, 4]`` in pixels and scores ``[N, M, 10]`` of a raw head ``[N, 3 * 15, H, W]``."""
    batch, _, height, width = head.shape
    grid = head.reshape(batch, len(anchors), -1, height, width).transpose(0, 1, 3, 4, 2)
    y, x = np.mgrid[0:height, 0:width]
    centre = (sigmoid(grid[..., :2]) + np.stack([x, y], axis=-1)) * stride
    half = np.exp(grid[..., 2:4]) * np.array(anchors)[None, :, None, None, :] / 2.0
    boxes = np.concatenate([centre - half, centre + half], axis=-1)
    scores = sigmoid(grid[..., 4:5]) * sigmoid(grid[..., 5:])
    return boxes.reshape(batch, -1, 4), scores.reshape(batch, -1, scores.shape[-1])


def suppress(boxes: Array, scores: Array) -> list[int]:
    """Return the indices kept by greedy non-maximum suppression, best score first."""
    order = list(np.argsort(-scores, kind="stable"))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order:
        best = int(order.pop(0))
        kept.append(best)
        corner = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        common = np.clip(corner, 0.0, None).prod(axis=1)
        overlap = common / (area[best] + area[order] - common)
        order = [index for index, value in zip(order, overlap, strict=True) if value <= NMS_IOU]
    return kept


def detections(heads: Sequence[Array], size: int) -> Iterator[dict[str, object]]:
    """Yield the detections of all images in COCO's result form (image and category ids from 0 and 1)."""
    parts = [decode_head(head, *rest) for head, *rest in zip(heads, ANCHORS, STRIDES, strict=True)]
    boxes = np.clip(np.concatenate([part[0] for part in parts], axis=1), 0.0, size)
    scores = np.concatenate([part[1] for part in parts], axis=1)
    for image in range(len(boxes)):
        for label in range(len(CLASSES)):
            chosen = np.flatnonzero(scores[image, :, label] > SCORE_THRESHOLD)
            for index in chosen[suppress(boxes[image, chosen], scores[image, chosen, label])]:
                left, top, right, bottom = (float(v) for v in boxes[image, index])
                box = [left, top, right - left, bottom - top]
                score = float(scores[image, index, label])
                yield {"image_id": image, "category_id": label + 1, "bbox": box, "score": score}


def coco_truth(folder: Path, lines: Sequence[Sequence[str]]) -> dict[str, list[dict[str, object]]]:
    """Return the VOC annotations of an image list as a COCO data set; corners are taken as written."""
    annotations: list[dict[str, object]] = []
    for image, (_, name) in enumerate(lines):
        for item in ET.parse(folder / "annotations" / name).getroot().iter("object"):  # noqa: S314 - our own files
            left, top, right, bottom = (float(item.findtext(f"bndbox/{tag}", "")) for tag in CORNERS)
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": CLASSES.index(item.findtext("name", "")) + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": image} for image in range(len(lines))],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)],
        "annotations": annotations,
    }


def mean_average_precision(heads: Sequence[Array], folder: Path, lines: Sequence[Sequence[str]]) -> float:
    """Return pycocotools' AP at IoU 0.5 (101 recall points, mean over the classes)."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco_truth(folder, lines)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(list(detections(heads, SCENES["digits_det"].size))), "bbox")
        run.params.iouThrs = np.array([0.5])
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][0, :, :, 0, -1]
    return float(precision[:, (precision > -1).all(axis=0)].mean())


def top1(logits: Array, lines: Sequence[Sequence[str]]) -> float:
    """Return the share of pictures whose largest logit is at the label."""
    return float((logits.argmax(axis=1) == np.array([int(line[1]) for line in lines])).mean())


def mean_iou(logits: Array, folder: Path, lines: Sequence[Sequence[str]]) -> float:
    """Return the mean over the classes of intersection / union, counted over all pictures together."""
    from PIL import Image

    truth = np.stack([np.asarray(Image.open(folder / line[1])) for line in lines]).astype(np.int64)
    count = logits.shape[1]
    confusion = np.bincount((truth * count + logits.argmax(axis=1)).ravel(), minlength=count**2).reshape(count, count)
    hit = np.diag(confusion)
    return float((hit / (confusion.sum(axis=0) + confusion.sum(axis=1) - hit)).mean())


def score(name: str, model: Path) -> tuple[str, float]:
    """Return the name and the value of the metric of an ONNX file on the validation set of example ``name``."""
    import onnxruntime

    example = EXAMPLES[name]
    folder = DATA / example.data
    lines = read_list(folder, "val")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    inputs = preprocess(read_pictures(folder, lines), example)
    outputs = [session.run(None, {session.get_inputs()[0].name: inputs[k : k + 1]}) for k in range(len(inputs))]
    stacked = [np.concatenate(column) for column in zip(*outputs, strict=True)]
    if name == "yolo_digits":
        return "mAP@0.5", mean_average_precision(stacked, folder, lines)
    if name == "mobilenet_digits":
        return "top-1", top1(stacked[0], lines)
    return "mIoU", mean_iou(stacked[0], folder, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of the command."""
    parser = argparse.ArgumentParser(description="Score the example networks in float with ONNX Runtime.")
    parser.add_argument("names", nargs="*", help="examples (default: all)")
    parser.add_argument("--model", type=Path, help="another ONNX file with the same inputs and outputs")
    options = parser.parse_args(arguments)
    for name in options.names or EXAMPLES:
        metric, value = score(name, options.model or DATA / "models" / f"{name}.onnx")
        print(f"{name}: {metric} = {value:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
