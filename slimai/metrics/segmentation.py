"""Segmentation statistics over one confusion matrix of the whole set (`SegStats` and its relatives).

Definitions: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation" (2015), section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.data.exif import turn_array
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.base import Array, Record, Result
from slimai.metrics.labels.annotation_turn import Made, doubt, turn_needed
from slimai.metrics.labels.masks import read_binary_mask, read_index_mask
from slimai.metrics.outputs import check_outputs, image_index, in_order

IGNORED = 255
LABELS = 256
DECIDES = {"SegStats": "MIU", "MIU": "MIU", "PxAcc": "PxAcc", "MAcc": "MAcc", "FrWIU": "FrWIU"}

Mask = NDArray[np.uint8]
Resampling = Literal["NN", "Bi", "Cu"]

__all__ = ["DECIDES", "IGNORED", "MapOptions", "SegStats", "class_map", "confusion", "statistics"]


@dataclass(frozen=True)
class MapOptions:
    """How a map of classes is made of an output.

    axis: 0, 1, 2 = C, H, W of the blob; squeezed if its size is 1, else argmax. threshold: 1 above it, else 0.
    resize: the kind and (width, height). transpose: whether the two axes left are exchanged; None = by the
    network's layout. ignored: labels of the truth that are not counted, and whose channels cannot win. turn: whether
    label images are turned as their own EXIF orientation says.
    """

    axis: int = 0
    threshold: float | None = None
    resize: tuple[Resampling, tuple[int, int]] | None = None
    transpose: bool | None = None
    rows_first: bool = False
    ignored: tuple[int, ...] = (IGNORED,)
    turn: bool = False


def blob_view(output: NDArray[Any]) -> NDArray[Any]:
    """Return an output (1, b, c, d), read as NHWC with missing leading dimensions 1, as [C, H, W]."""
    shape = (*output.shape[:1], *(1,) * (4 - output.ndim), *output.shape[1:])
    if output.ndim > 4 or shape[0] != 1:
        raise InputError(f"segmentation: an output has up to 4 dimensions, the first of them 1 (got {output.shape})")
    blob: NDArray[Any] = output.reshape(shape)[0].transpose(2, 0, 1)
    return blob


def class_map(output: NDArray[Any], options: MapOptions) -> Mask:
    """Return the map [rows, columns] uint8 of one output, before any fitting to the truth's orientation."""
    blob = blob_view(output)
    if blob.shape[options.axis] == 1:
        flat: NDArray[Any] = blob.squeeze(options.axis)
    else:
        flat = _winners(blob, options)
    if options.threshold is not None:
        above: Mask = np.greater(flat, options.threshold).astype(np.uint8)
        return above
    # a class beyond 254 can equal no counted label, so it may as well be 255
    whole: Mask = np.clip(flat, 0, 255).astype(np.uint8)
    return whole


def _winners(blob: NDArray[Any], options: MapOptions) -> NDArray[np.int64]:
    """Return the index of the largest channel; of equal ones the first; ignored labels cannot win."""
    count = blob.shape[options.axis]
    allowed = np.setdiff1d(np.arange(count), options.ignored)
    if len(allowed) == count:
        return np.asarray(blob.argmax(axis=options.axis), np.int64)
    return np.asarray(allowed[blob.take(allowed, axis=options.axis).argmax(axis=options.axis)], np.int64)


def confusion(truth: Mask, found: Mask, ignored: Sequence[int] = (IGNORED,)) -> tuple[Array, Array]:
    """Return the cells that are not empty: truth * 256 + found [n] int64, and their counts [n] int64."""
    counted = ~np.isin(truth, ignored)
    cells = truth[counted].astype(np.int64) * LABELS + found[counted]
    counts = np.bincount(cells, minlength=LABELS * LABELS)
    filled = np.flatnonzero(counts)
    return filled, counts[filled]


def statistics(matrix: NDArray[Any]) -> dict[str, float]:
    """Return PxAcc, MAcc, MIU, FrWIU of a confusion matrix [truth, found]; NaN where nothing is counted.

    Means are over the classes that the truth has.
    """
    matrix = np.asarray(matrix, np.float64)
    hits, real, total = np.diag(matrix), matrix.sum(axis=1), matrix.sum()
    present = real > 0
    if not total:
        return dict.fromkeys(("MIU", "PxAcc", "MAcc", "FrWIU"), float("nan"))
    union = (real + matrix.sum(axis=0) - hits)[present]
    iou = hits[present] / union
    return {
        "MIU": float(iou.mean()),
        "PxAcc": float(hits.sum() / total),
        "MAcc": float((hits[present] / real[present]).mean()),
        "FrWIU": float((real[present] * iou).sum() / total),
    }


class SegStats:
    """Mean IU (or the statistic that `which` names) of the first output, in 0..1.

    A record holds the filled cells of one picture's confusion matrix; `combine` adds them up.
    """

    uses_float = False
    higher_is_better = True
    value_range = (0.0, 1.0)

    def __init__(
        self,
        outputs: tuple[str, ...],
        labels: Mapping[int, Path],
        options: MapOptions,
        which: str = "SegStats",
        made: Made = "turned",
    ) -> None:
        """`labels` by the index of the sample; made: for which picture, where EXIF turns it and sizes do not tell."""
        self.name = which
        self._outputs = outputs
        self.files = tuple(labels.values())
        self._labels = labels
        self._options = options
        self._made: Made = made

    def check_samples(self, samples: Sequence[Sample]) -> list[Diagnostic]:
        """Return a warning where pictures are turned by EXIF and sizes do not tell whether their labels are."""
        turned = [sample for sample in samples if sample.geometry and sample.geometry.orientation != 1]
        return doubt(sum(self._turn(sample, self._stored(sample))[1] for sample in turned), self._made)

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return `cells` [n] and `counts` [n] of one picture, see `confusion`."""
        del reference
        check_outputs(sample, outputs, self._outputs)
        truth = self._truth(sample)
        found = self._fitted(class_map(outputs[0], self._options), truth.shape, sample)
        if found.shape != truth.shape:
            truth = self._resampled_truth(truth, found.shape, sample)
        cells, counts = confusion(truth, found, self._options.ignored)
        return {"image": image_index(sample), "cells": cells, "counts": counts}

    def predicted_map(self, sample: Sample, outputs: Sequence[Array]) -> Mask:
        """Return the map of classes [h, w] of one picture, in the orientation of its truth."""
        check_outputs(sample, outputs, self._outputs)
        return self._fitted(class_map(outputs[0], self._options), self._truth(sample).shape, sample)

    def truth_map(self, sample: Sample) -> Mask:
        """Return the label image [h, w] of one picture, as the picture is turned."""
        return self._truth(sample)

    def _truth(self, sample: Sample) -> Mask:
        """Return the label image as its picture is turned."""
        truth = self._stored(sample)
        return np.ascontiguousarray(turn_array(truth, self._turn(sample, truth)[0]))

    def _turn(self, sample: Sample, truth: Mask) -> tuple[int, bool]:
        return turn_needed((truth.shape[1], truth.shape[0]), sample.geometry, self._made)

    def _stored(self, sample: Sample) -> Mask:
        path = self._labels[sample.index]
        if self._options.threshold is not None:
            return read_binary_mask(path, self._options.threshold, turn=self._options.turn)
        return read_index_mask(path, turn=self._options.turn)

    def _fitted(self, found: Mask, truth: tuple[int, ...], sample: Sample) -> Mask:
        """Return the map in the truth's orientation and at the size that `resize` asks for."""
        if self._is_transposed(found.shape, truth, sample):
            found = found.T
        if self._options.resize is None:
            return np.ascontiguousarray(found)
        return _resized(found, *self._options.resize)

    def _is_transposed(self, found: tuple[int, ...], truth: tuple[int, ...], sample: Sample) -> bool:
        if self._options.transpose is not None:
            return self._options.transpose
        sizes = {truth}
        if sample.geometry:
            sizes.add(sample.geometry.network[::-1])
        if self._options.resize is None and (found in sizes) != (found[::-1] in sizes):
            return found not in sizes
        return self._options.rows_first

    def _resampled_truth(self, truth: Mask, found: tuple[int, ...], sample: Sample) -> Mask:
        """Return the truth as `network.resize` made the picture: nearest, what is outside the picture ignored."""
        geometry = sample.geometry
        if geometry is None or truth.shape != geometry.original[::-1] or found != geometry.network[::-1]:
            raise InputError(
                f"image '{sample.files[0]}': the map of output '{self._outputs[0]}' is {found[1]}x{found[0]}, "
                f"the label image {self._labels[sample.index]} {truth.shape[1]}x{truth.shape[0]} (w x h); "
                f"add resizeNN={truth.shape[1]}:{truth.shape[0]}, or check axis and transpose"
            )
        return through_geometry(truth, geometry, self._options.ignored[0])

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the statistics of the summed confusion matrix; NaN and no score where no pixel is counted."""
        matrix = np.zeros(LABELS * LABELS, np.int64)
        for record in in_order(records):
            matrix[record["cells"]] += record["counts"]
        values = statistics(matrix.reshape(LABELS, LABELS))
        value = values[DECIDES[self.name]]
        return Result(value, None if np.isnan(value) else value, values)

    def resampled_scores(self, records: Sequence[Record], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [R] the score of sets in which record i is counts[r, i] times, NaN where there is none."""
        cells = np.unique(np.concatenate([record["cells"] for record in records]))
        each = np.zeros((len(records), len(cells)), np.int64)
        for row, record in zip(each, records, strict=True):
            row[np.searchsorted(cells, record["cells"])] = record["counts"]
        labels = np.unique(
            np.concatenate([cells // LABELS, cells % LABELS])
        )  # those that occur: the others add nothing
        places = np.searchsorted(labels, cells // LABELS), np.searchsorted(labels, cells % LABELS)
        found = np.empty(len(counts))
        for at, row in enumerate(counts @ each):
            matrix = np.zeros((len(labels), len(labels)), np.int64)
            matrix[places] = row
            found[at] = statistics(matrix)[DECIDES[self.name]]
        return found


def through_geometry(truth: Mask, geometry: ImageGeometry, outside: int) -> Mask:
    """Return the label image [h, w] at the network's input size, by the nearest pixel's centre."""
    width, height = geometry.network
    column = np.floor((np.arange(width) + 0.5 - geometry.offset[0]) / geometry.scale[0]).astype(np.int64)
    row = np.floor((np.arange(height) + 0.5 - geometry.offset[1]) / geometry.scale[1]).astype(np.int64)
    inside_x, inside_y = (column >= 0) & (column < truth.shape[1]), (row >= 0) & (row < truth.shape[0])
    fitted = np.full((height, width), outside, np.uint8)
    fitted[np.ix_(inside_y, inside_x)] = truth[np.ix_(row[inside_y], column[inside_x])]
    return fitted


def _resized(found: Mask, kind: Resampling, size: tuple[int, int]) -> Mask:
    from PIL import Image  # noqa: PLC0415 - spares PIL

    methods = {
        "NN": Image.Resampling.NEAREST,
        "Bi": Image.Resampling.BILINEAR,
        "Cu": Image.Resampling.BICUBIC,
    }
    return np.asarray(Image.fromarray(np.ascontiguousarray(found)).resize(size, methods[kind]), np.uint8)
