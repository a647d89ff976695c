"""COCO average precision by pycocotools (`coco_det_AP`), one picture at a time.

`COCOeval.evaluateImg` judges a picture alone; its findings go into the record, and `accumulate` and
`summarize` run over any set of records. The numbers are those of one run over all pictures.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as codec
from pycocotools.cocoeval import COCOeval

from slimai.data.exif import UPRIGHT, turn_array
from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.base import Array, Record, Result
from slimai.metrics.detection.boxes import to_input
from slimai.metrics.detection.coco_resampled import resampled_ap
from slimai.metrics.detection.detections import ClassTable, Detections
from slimai.metrics.detection.masks import instance_masks
from slimai.metrics.detection.options import DetectionOptions
from slimai.metrics.detection.postprocess import detect
from slimai.metrics.labels.annotation_fit import AnnotationFit
from slimai.metrics.labels.annotation_turn import turn_boxes
from slimai.metrics.labels.coco import Instances
from slimai.metrics.outputs import check_outputs, image_index, in_order

NUMBERS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip

__all__ = ["NUMBERS", "CocoAP", "coco_ap", "coco_record"]


class CocoAP:
    """AP over IoU 0.5 .. 0.95, in 0..1; with a fourth output of instance masks AP of the masks decides."""

    name = "coco_det_AP"
    uses_float = False
    higher_is_better = True
    value_range = (0.0, 1.0)

    def __init__(
        self,
        outputs: tuple[str, ...],
        options: DetectionOptions,
        table: ClassTable,
        instances: Instances,
        input_size: tuple[int, int] | None = None,
        fit: AnnotationFit | None = None,
    ) -> None:
        """fit: how annotations lie in the pictures; None = as the sizes in `instances` say."""
        self._outputs = outputs
        self._options = options
        self._table = table
        self._instances = instances
        self._input_size = options.input_size or input_size
        self._fit = fit or AnnotationFit(instances.sizes, {}, network=self._input_size)
        self._kinds = ("segm", "bbox") if options.head is None and len(outputs) > 3 else ("bbox",)

    def detect(self, sample: Sample, outputs: Sequence[Array]) -> Detections:
        """Return the boxes of one picture, best first, in its own pixels; `classes` index `class_names`."""
        check_outputs(sample, outputs, self._outputs)
        return detect(sample, outputs, self._outputs, self._options, self._table)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the categories in ascending id order."""
        return self._table.names

    def check_samples(self, samples: Sequence[Sample]) -> list[Diagnostic]:
        """Return what the sizes of pictures and annotations say against these samples, which have their geometry."""
        return self._fit.check(samples)

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return what pycocotools finds in one picture, for boxes and where there are any for masks.

        The entries of a kind: scores and classes [d] of the detections, match and ignore [areas, ious, d]; classes
        [g] and ignore [areas, g] of the objects.
        """
        del reference
        placed = self._fit(sample)
        found = self.detect(placed, outputs)
        record: dict[str, Array] = {"image": image_index(sample)}
        for kind in self._kinds:
            truth = self._truth(sample, kind)
            answer = self._answer(placed, found, outputs, kind)
            record |= {f"{kind}/{key}": value for key, value in _evaluate(kind, truth, answer).items()}
        return record

    def true_boxes(self, sample: Sample) -> NDArray[np.float64]:
        """Return the annotated boxes [n, 4] of a sample with geometry, as corners in the network's input pixels."""
        sides = np.array([entry["bbox"] for entry in self._truth(sample, "bbox")], np.float64).reshape(-1, 4)
        corners = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
        geometry = self._fit(sample).geometry
        return corners if geometry is None else to_input(corners, geometry)

    def _truth(self, sample: Sample, kind: str) -> list[dict[str, Any]]:
        entries = []
        orientation, stored = self._fit.turn(sample)
        for number, annotation in enumerate(self._instances.objects[sample.index], 1):
            entry = _box_truth(annotation, number)
            if orientation != UPRIGHT:
                entry["bbox"] = _turned_box(annotation["bbox"], stored, orientation)
            if kind == "segm":
                size = self._fit.size(sample) if orientation == UPRIGHT else stored
                entry["segmentation"] = _turned_mask(_truth_mask(annotation, size), orientation)
            entries.append(entry)
        return entries

    def _answer(self, sample: Sample, found: Detections, outputs: Sequence[Array], kind: str) -> list[dict[str, Any]]:
        entries = _box_answer(found)
        if kind == "segm":
            masks = instance_masks(outputs[3], found, sample.geometry, self._input_size, self._fit.size(sample))
            for entry, code in zip(entries, _encode(masks), strict=True):
                entry["segmentation"], entry["area"] = code, float(codec.area(code))
        return entries

    def combine(self, records: Sequence[Record]) -> Result:
        """Return AP@[.5:.95] and the other numbers of pycocotools; NaN where the set has no such object."""
        values: dict[str, float] = {}
        for kind in self._kinds:
            prefix = "" if kind == self._kinds[0] else f"{kind}/"
            numbers = _summarize(kind, in_order(records), len(self._table.names))
            values |= {prefix + name: value for name, value in zip(NUMBERS, numbers, strict=True)}
        value = values["AP"]
        return Result(value, None if np.isnan(value) else value, values)

    def quick_score(self, records: Sequence[Record]) -> float | None:
        """Return the score alone, without pycocotools: a thirtieth of the work of `combine`."""
        score = float(self.resampled_scores(records, np.ones((1, len(records)), np.int64))[0])
        return None if np.isnan(score) else score

    def resampled_scores(self, records: Sequence[Record], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [R] the score of sets in which record i is counts[r, i] times, NaN where there is none."""
        order = sorted(range(len(records)), key=lambda at: int(records[at]["image"][0]))
        return resampled_ap(self._kinds[0], [records[at] for at in order], counts[:, order])


def coco_record(found: Detections, objects: Sequence[Mapping[str, Any]]) -> Record:
    """Return what pycocotools finds in the boxes of one picture, for `coco_ap`.

    found: boxes in pixels of the picture, classes counted from 0. objects: the picture's annotations as
    `read_instances` gives them: class, bbox [x, y, w, h], area, iscrowd.
    """
    truth = [_box_truth(annotation, number) for number, annotation in enumerate(objects, 1)]
    return {f"bbox/{key}": value for key, value in _evaluate("bbox", truth, _box_answer(found)).items()}


def coco_ap(records: Sequence[Record], classes: int) -> dict[str, float]:
    """Return the 12 numbers of pycocotools over the `coco_record` of any pictures, by name (`NUMBERS`), AP first.

    classes: how many there are. A number is NaN where the pictures have no such object.
    """
    return dict(zip(NUMBERS, _summarize("bbox", records, classes), strict=True))


def _box_truth(annotation: Mapping[str, Any], number: int) -> dict[str, Any]:
    crowd = annotation["iscrowd"]
    return {**annotation, "id": number, "ignore": crowd, "category_id": annotation["class"]}


def _box_answer(found: Detections) -> list[dict[str, Any]]:
    sides = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    return [
        {"id": at + 1, "category_id": int(label), "score": float(score), "bbox": box.tolist(), "iscrowd": 0,
         "area": float(box[2] * box[3])}
        for at, (box, score, label) in enumerate(zip(sides, found.scores, found.classes, strict=True))
    ]  # fmt: skip


def _evaluate(kind: str, truth: list[dict[str, Any]], answer: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    judge = COCOeval(iouType=kind)
    params = judge.params
    labels = sorted({entry["category_id"] for entry in (*truth, *answer)})
    params.imgIds, params.catIds = [0], labels
    for entry in truth:
        judge._gts[0, entry["category_id"]].append(entry)  # noqa: SLF001 - where pycocotools itself puts them
    for entry in answer:
        judge._dts[0, entry["category_id"]].append(entry)  # noqa: SLF001
    judge.ious = {(0, label): judge.computeIoU(0, label) for label in labels}
    parts = []
    for label in labels:
        areas = [judge.evaluateImg(0, label, area, params.maxDets[-1]) for area in params.areaRng]
        parts.append((label, areas))
    return _as_arrays(parts, len(params.areaRng), len(params.iouThrs))


def _as_arrays(
    parts: Sequence[tuple[int, Sequence[Mapping[str, Any]]]], areas: int, ious: int
) -> dict[str, NDArray[Any]]:
    def joined(values: list[Any], empty: tuple[int, ...], dtype: type) -> NDArray[Any]:
        return np.concatenate([np.zeros(empty, dtype), *[np.asarray(value, dtype) for value in values]], axis=-1)

    return {
        "scores": joined([found[0]["dtScores"] for _, found in parts], (0,), np.float64),
        "classes": joined([[label] * len(found[0]["dtScores"]) for label, found in parts], (0,), np.int64),
        "match": joined([[one["dtMatches"] > 0 for one in found] for _, found in parts], (areas, ious, 0), np.bool_),
        "ignore": joined([[one["dtIgnore"] for one in found] for _, found in parts], (areas, ious, 0), np.bool_),
        "object_classes": joined([[label] * len(found[0]["gtIgnore"]) for label, found in parts], (0,), np.int64),
        "object_ignore": joined([[one["gtIgnore"] for one in found] for _, found in parts], (areas, 0), np.bool_),
    }


def _summarize(kind: str, records: Sequence[Record], classes: int) -> list[float]:
    """Return the 12 numbers over these records; NaN where pycocotools says -1."""
    judge = _accumulated(kind, records, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        judge.summarize()
    return [float("nan") if value < 0 else float(value) for value in judge.stats]


def _accumulated(kind: str, records: Sequence[Record], classes: int) -> Any:
    """Return a COCOeval after `accumulate`."""
    judge = COCOeval(iouType=kind)
    params = judge.params
    params.imgIds, params.catIds = list(range(len(records))), list(range(classes))
    judge._paramsEval = params  # noqa: SLF001 - set by COCOeval.evaluate, which is not called here
    found = [_by_class(kind, record) for record in records]
    judge.evalImgs = [
        found[image].get((label, area))
        for label in range(classes)
        for area in range(len(params.areaRng))
        for image in range(len(records))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.accumulate()
    return judge


def _by_class(kind: str, record: Record) -> dict[tuple[int, int], dict[str, NDArray[Any]]]:
    """Return the entries that `COCOeval.accumulate` reads, by class and area."""
    classes, objects = record[f"{kind}/classes"], record[f"{kind}/object_classes"]
    found = {}
    for label in np.union1d(classes, objects).astype(int):
        mine, theirs = classes == label, objects == label
        for area in range(len(record[f"{kind}/match"])):
            found[int(label), area] = {
                "dtScores": record[f"{kind}/scores"][mine],
                "dtMatches": record[f"{kind}/match"][area][:, mine],
                "dtIgnore": record[f"{kind}/ignore"][area][:, mine],
                "gtIgnore": record[f"{kind}/object_ignore"][area][theirs],
            }
    return found


def _encode(masks: NDArray[np.uint8]) -> list[Mapping[str, Any]]:
    """Return the run lengths of masks [n, h, w]."""
    return list(codec.encode(np.asfortranarray(masks.transpose(1, 2, 0)))) if len(masks) else []


def _turned_box(box: Sequence[float], stored: tuple[int, int], orientation: int) -> list[float]:
    """Return [x, y, w, h] of the stored picture in the upright one."""
    x, y, w, h = box
    left, top, right, bottom = turn_boxes(np.array([[x, y, x + w, y + h]]), stored, orientation)[0].tolist()
    return [left, top, right - left, bottom - top]


def _turned_mask(code: Mapping[str, Any], orientation: int) -> Mapping[str, Any]:
    if orientation == UPRIGHT:
        return code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about pycocotools' own arrays
        mask = codec.decode(code)
    turned: Mapping[str, Any] = codec.encode(np.asfortranarray(turn_array(mask, orientation)))
    return turned


def _truth_mask(annotation: Mapping[str, Any], picture: tuple[int, int]) -> Mapping[str, Any]:
    """Return the run lengths of an annotation's polygons or run lengths; raises InputError where it has none."""
    shape, (width, height) = annotation["segmentation"], picture
    try:
        if isinstance(shape, list):
            code: Mapping[str, Any] = codec.merge(codec.frPyObjects(shape, height, width))
        elif isinstance(shape["counts"], list):
            code = codec.frPyObjects(shape, height, width)
        else:
            code = shape
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"an annotation without a usable segmentation ({error}); masks need one") from None
    return code
