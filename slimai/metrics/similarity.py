"""Cosine similarity with the float network (`cosine`), and no scoring at all (`NoMetric`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.base import Array, Record, Result
from slimai.metrics.outputs import check_outputs, image_index, in_order, known_reference

__all__ = ["Cosine", "NoMetric", "cosine_similarity"]


def cosine_similarity(one: Array, other: Array) -> float:
    """Return a.b / (|a| |b|) in -1..1, in float64; 1 for two zero tensors, 0 where only one is zero."""
    a, b = np.asarray(one, np.float64).reshape(-1), np.asarray(other, np.float64).reshape(-1)
    if a.shape != b.shape:
        raise InputError(f"cosine: two tensors of different sizes (got {a.size} and {b.size})")
    # dividing by the largest magnitude first keeps the squares inside float64
    largest = np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)
    if largest[0] == 0.0 or largest[1] == 0.0:
        return 1.0 if largest[0] == largest[1] else 0.0
    a, b = a / largest[0], b / largest[1]
    # rounding may pass 1 by an ulp
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))


class Cosine:
    """Mean over the pictures of the mean over the outputs of their cosine similarity with float.

    value in -1..1; score: the value, not below 0.
    """

    name = "cosine"
    uses_float = True
    higher_is_better = True
    value_range = (-1.0, 1.0)

    def __init__(self, outputs: tuple[str, ...]) -> None:
        self._outputs = outputs

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None) -> Record:
        """Return `similarity` [outputs] of one picture."""
        check_outputs(sample, outputs, self._outputs)
        truth = known_reference(sample, reference)
        check_outputs(sample, truth, self._outputs)
        each = [cosine_similarity(a, b) for a, b in zip(outputs, truth, strict=True)]
        return {"image": image_index(sample), "similarity": np.array(each)}

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the mean similarity, with one value an output."""
        if not records:
            return Result(float("nan"), None)
        table = np.stack([record["similarity"] for record in in_order(records)])
        value = float(table.mean())
        values = {"cosine": value}
        if len(self._outputs) > 1:
            values |= {f"cosine/{name}": float(table[:, at].mean()) for at, name in enumerate(self._outputs)}
        return Result(value, max(0.0, value), values, np.maximum(0.0, table.mean(axis=1)))


class NoMetric:
    """Scoring turned off: every result is NaN without a score."""

    name = "NoMetric"
    uses_float = False
    higher_is_better = True
    value_range = (float("-inf"), float("inf"))

    def __init__(self, outputs: tuple[str, ...]) -> None:
        self._outputs = outputs

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return an empty record, after the check that every output is finite."""
        del reference
        check_outputs(sample, outputs, self._outputs)
        return {"image": image_index(sample)}

    def combine(self, records: Sequence[Record]) -> Result:
        """Return no value and no score."""
        del records
        return Result(float("nan"), None)
