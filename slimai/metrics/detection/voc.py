"""Mean average precision after the Pascal VOC devkit (`voc_det_AP`)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.base import Array, Record, Result
from slimai.metrics.detection.ap import IGNORED, Interpolation, average_precision, match
from slimai.metrics.detection.boxes import from_annotation, to_input
from slimai.metrics.detection.detections import ClassTable, Detections, best_first
from slimai.metrics.detection.options import DetectionOptions
from slimai.metrics.detection.postprocess import detect
from slimai.metrics.detection.voc_resampled import resampled_map
from slimai.metrics.labels.annotation_fit import AnnotationFit
from slimai.metrics.labels.annotation_turn import turn_boxes
from slimai.metrics.labels.voc import VocObjects
from slimai.metrics.outputs import check_outputs, image_index, in_order

log = logging.getLogger(__name__)

__all__ = ["Truth", "VocAP", "truths"]


@dataclass(frozen=True)
class Truth:
    """The scored objects of one picture: classes [m] counted from `names[0]`, boxes [m, 4], difficult [m]."""

    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    difficult: NDArray[np.bool_]


def truths(labels: Sequence[VocObjects], table: ClassTable, *, count_difficult: bool = False) -> list[Truth]:
    """Return the objects whose name is in the table; other names are logged, none at all is an InputError.

    count_difficult: objects marked difficult become ordinary ones.
    """
    known = {_key(name): at for at, name in enumerate(table.names)}
    strange = Counter(name for label in labels for name in label.names if _key(name) not in known)
    if strange:
        shown = ", ".join(f"{name} ({count})" for name, count in sorted(strange.items()))
        log.warning("voc_det_AP: objects that are not in the class table are not scored: %s", shown)
    found = [_truth(label, known, count_difficult=count_difficult) for label in labels]
    if labels and not any(np.any(~truth.difficult) for truth in found):
        raise InputError.at(
            "metric.metric_input",
            f"no annotation holds an object of the {len(table.names)} classes"
            + "".join(f"; '{name}' is unknown{table.near(name)}" for name in sorted(strange)[:5]),
            cure="list the class names with voc_labels=[...]",
        )
    return found


def _key(name: str) -> str:
    """Return the name as `voc_labels` can spell it: without spaces."""
    return name.replace(" ", "_")


def _truth(label: VocObjects, known: dict[str, int], *, count_difficult: bool) -> Truth:
    classes = np.array([known.get(_key(name), -1) for name in label.names], np.int64)
    kept = classes >= 0
    return Truth(classes[kept], label.boxes[kept], label.difficult[kept] & (not count_difficult))


class VocAP:
    """Mean over the classes of the average precision at IoU 0.5, in 0..1.

    A record holds, for one picture, the outcome of each detection and the number of objects a class,
    so that any set of records can be combined without looking at boxes again.
    """

    name = "voc_det_AP"
    uses_float = False
    higher_is_better = True
    value_range = (0.0, 1.0)

    def __init__(
        self,
        outputs: tuple[str, ...],
        options: DetectionOptions,
        table: ClassTable,
        objects: dict[int, Truth],
        how: Interpolation = "area",
        fit: AnnotationFit | None = None,
    ) -> None:
        """`objects` by the index of the sample, in the pixels of its annotation. fit: None = they are the picture's."""
        self._outputs = outputs
        self._options = options
        self._table = table
        self._objects = objects
        self._how: Interpolation = how
        self._fit = fit or AnnotationFit({}, {})

    def detect(self, sample: Sample, outputs: Sequence[Array]) -> Detections:
        """Return the boxes of one picture, best first, in its own pixels; `classes` index `class_names`."""
        check_outputs(sample, outputs, self._outputs)
        return detect(sample, outputs, self._outputs, self._options, self._table)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the scored classes."""
        return self._table.names

    def check_samples(self, samples: Sequence[Sample]) -> list[Diagnostic]:
        """Return what the sizes of pictures and annotations say against these samples, which have their geometry."""
        return self._fit.check(samples)

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return scores [n], classes [n], outcome [n] of the detections and objects [classes] of one picture."""
        del reference
        found = self.detect(self._fit(sample), outputs)
        truth = self._objects[sample.index]
        counted = truth.classes[~truth.difficult]
        return {
            "image": image_index(sample),
            "scores": found.scores,
            "classes": found.classes,
            "outcome": self._outcomes(found, replace(truth, boxes=self._boxes(sample, truth))),
            "objects": np.bincount(counted, minlength=len(self._table.names)),
        }

    def truth_boxes(self, sample: Sample) -> Detections:
        """Return the objects of one picture in its own pixels, with score 1; `classes` index `class_names`."""
        truth = self._objects[sample.index]
        boxes = from_annotation(self._boxes(sample, truth), self._fit(sample), sample)
        return Detections(boxes, np.ones(len(boxes)), truth.classes, np.arange(len(boxes)))

    def true_boxes(self, sample: Sample) -> NDArray[np.float64]:
        """Return the annotated boxes [n, 4] of a sample with geometry, as corners in the network's input pixels."""
        boxes, geometry = self._boxes(sample, self._objects[sample.index]), self._fit(sample).geometry
        return boxes if geometry is None else to_input(boxes, geometry)

    def _boxes(self, sample: Sample, truth: Truth) -> NDArray[np.float64]:
        orientation, stored = self._fit.turn(sample)
        return turn_boxes(truth.boxes, stored, orientation)

    def _outcomes(self, found: Detections, truth: Truth) -> NDArray[np.int8]:
        outcome = np.empty(len(found), np.int8)
        for label in np.unique(found.classes):
            mine, theirs = found.classes == label, truth.classes == label
            outcome[mine] = match(found.boxes[mine], truth.boxes[theirs], truth.difficult[theirs])
        return outcome

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the mean average precision; NaN and no score where no class has an object."""
        ordered = in_order(records)
        objects = sum((record["objects"] for record in ordered), np.zeros(len(self._table.names), np.int64))
        merged: dict[str, NDArray[Any]] = {
            key: np.concatenate([record[key] for record in ordered]) if ordered else np.zeros(0)
            for key in ("scores", "classes", "outcome")
        }
        best = best_first(merged["scores"])
        classes, outcome = merged["classes"][best], merged["outcome"][best]
        values = {
            f"AP/{name}": average_precision(outcome[classes == at], int(objects[at]), self._how)
            for at, name in enumerate(self._table.names)
            if objects[at]
        }
        if not values:
            return Result(float("nan"), None, {"mAP": float("nan")})
        value = float(np.mean(list(values.values())))
        counts = {"objects": float(objects.sum()), "detections": float(np.count_nonzero(outcome != IGNORED))}
        return Result(value, value, {"mAP": value, **values, **counts})

    def resampled_scores(self, records: Sequence[Record], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [R] the score of sets in which record i is counts[r, i] times, NaN where there is none."""
        order = sorted(range(len(records)), key=lambda at: int(records[at]["image"][0]))
        return resampled_map([records[at] for at in order], counts[:, order], self._how)
