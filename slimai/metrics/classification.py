"""Share of pictures whose class is among the network's best one or five (`top1`, `top5`, `top1_5`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.base import Array, Record, Result
from slimai.metrics.outputs import check_outputs, image_index, in_order

__all__ = ["TopK", "rank_of"]


def rank_of(scores: Array, label: int) -> int:
    """Return how many classes come before `label`: the better ones, and equal ones with a smaller number."""
    values = np.asarray(scores).reshape(-1)
    if not 0 <= label < len(values):
        raise InputError(f"label beyond the {len(values)} classes of the network (got {label})")
    return int(np.count_nonzero(values > values[label]) + np.count_nonzero(values[:label] == values[label]))


class TopK:
    """Accuracy in 0..1; per picture 1 where the label is among the best k, else 0.

    which: `top1`, `top5`, or `top1_5`, which reports both and decides by top 1. offset: added to the
    network's class index, -1 for a network whose index 0 is a background.
    """

    uses_float = False
    higher_is_better = True
    value_range = (0.0, 1.0)

    def __init__(self, outputs: tuple[str, ...], labels: Mapping[int, int], which: str, offset: int = 0) -> None:
        self.name = which
        self._outputs = outputs
        self._labels = labels
        self._depths = {"top1": (1,), "top5": (5,), "top1_5": (1, 5)}[which]
        self._offset = offset

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return `rank` [1] of the label among the classes of the first output (0 = best), `best` class, `label`."""
        del reference
        check_outputs(sample, outputs, self._outputs)
        scores = outputs[0].reshape(-1)
        try:
            rank = rank_of(scores, self._labels[sample.index] - self._offset)
        except InputError as error:
            raise InputError(f"image '{sample.files[0]}': output '{self._outputs[0]}': {error}") from None
        numbers = {"rank": rank, "best": int(np.argmax(scores)) + self._offset, "label": self._labels[sample.index]}
        return {"image": image_index(sample), **{key: np.array([value], np.int64) for key, value in numbers.items()}}

    def truth_text(self, sample: Sample) -> str:
        """Return the network's index of the labelled class, as its answers are shown."""
        return f"label {self._labels[sample.index] - self._offset}"

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the accuracy of the first depth, and of each."""
        if not records:
            return Result(float("nan"), None)
        ranks = np.array([record["rank"][0] for record in in_order(records)])
        values = {f"top{depth}": float(np.mean(ranks < depth)) for depth in self._depths}
        value = next(iter(values.values()))
        return Result(value, value, values, (ranks < self._depths[0]).astype(np.float64))
