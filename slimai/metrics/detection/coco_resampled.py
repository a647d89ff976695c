"""COCO AP of many resampled sets of pictures at once, from what pycocotools found in each picture.

A picture that is drawn k times counts k times: with the detections of a class sorted once, a resampled set is a row of
weights. That is what `COCOeval.accumulate` computes on the repeated pictures, but for the order of equal scores within
one picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.base import Record

RECALLS = np.linspace(0.0, 1.0, 101)  # as COCO's Params has them

Counts = NDArray[np.int64]


def resampled_ap(kind: str, records: Sequence[Record], counts: Counts) -> NDArray[np.float64]:
    """Return [R] AP@[.5:.95] over all areas, NaN where a set has no object.

    kind: ``bbox`` or ``segm``. records: of the pictures, in the order of the list. counts: [R, pictures] how often
    each is drawn.
    """
    from slimai.metrics.detection._kernels import add_precision  # noqa: PLC0415 - spares numba

    found = _Found.of(kind, records)
    sums, classes = np.zeros(len(counts)), np.zeros(len(counts), np.int64)
    for label in np.unique(found.object_classes):
        objects = counts[:, found.object_pictures[found.object_classes == label]].sum(axis=1)
        mine = np.flatnonzero(found.classes == label)
        mine = mine[np.argsort(-found.scores[mine], kind="mergesort")]
        add_precision(
            np.ascontiguousarray(found.state[:, mine]),
            np.ascontiguousarray(counts[:, found.pictures[mine]]),
            objects,
            RECALLS,
            sums,
        )
        classes += objects > 0
    with np.errstate(invalid="ignore"):  # of a set without objects
        return sums / (classes * len(RECALLS) * len(found.state))


class _Found:
    """The detections and the objects that count, of all pictures end to end."""

    def __init__(self, parts: Sequence[Mapping[str, NDArray[np.generic]]]) -> None:
        joined = {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]}
        self.scores, self.classes = joined["scores"].astype(np.float64), joined["classes"]
        self.state, self.pictures = joined["state"].astype(np.int8), joined["pictures"].astype(np.int64)
        self.object_classes = joined["object_classes"]
        self.object_pictures = joined["object_pictures"].astype(np.int64)

    @classmethod
    def of(cls, kind: str, records: Sequence[Record]) -> _Found:
        return cls([_part(kind, record, at) for at, record in enumerate(records)])


def _part(kind: str, record: Record, picture: int) -> dict[str, NDArray[np.generic]]:
    match, ignore = record[f"{kind}/match"][0], record[f"{kind}/ignore"][0]
    labels = record[f"{kind}/object_classes"][~record[f"{kind}/object_ignore"][0]]
    return {
        "scores": record[f"{kind}/scores"],
        "classes": record[f"{kind}/classes"],
        "state": np.where(ignore, -1, match.astype(np.int8)),
        "pictures": np.full(match.shape[1], picture),
        "object_classes": labels,
        "object_pictures": np.full(len(labels), picture),
    }
