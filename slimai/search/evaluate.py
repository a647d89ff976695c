"""One candidate against validation images: run the integer network, measure every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.base import Metric, Record

Array = NDArray[Any]


class Runner(Protocol):
    """Anything that runs the network on a batch: the simulator's program, or the float session."""

    def __call__(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return float32 outputs by name for feeds by name; axis 0 is the batch."""
        ...


class ImageArrays(Protocol):
    """Named arrays of a whole image set, wherever they lie."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, in order."""
        ...

    def pick(self, indices: Sequence[int], names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the images with these indices, in this order, by name."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@dataclass(frozen=True)
class Validation:
    """The validation set, preprocessed once: samples, inputs and float outputs (on disk, where a run has them).

    outputs: names of the network's outputs in the metric's order. batch: images a run.
    """

    samples: Sequence[Sample]
    inputs: ImageArrays
    reference: ImageArrays
    outputs: tuple[str, ...]
    batch: int


@dataclass(frozen=True)
class Evaluation:
    """The records of the images that were run, in the order asked for, and whether all of them were."""

    records: tuple[Record, ...]
    complete: bool


OnBatch = Callable[[int, Sequence[Record]], None]


def evaluate(
    runner: Runner,
    validation: Validation,
    metric: Metric,
    indices: Sequence[int],
    *,
    late: Callable[[], bool] = lambda: False,
    on_batch: OnBatch | None = None,
) -> Evaluation:
    """Return the records of the images `indices`, in that order.

    No batch begins once `late` says so. `on_batch` is told the number of images of each batch, and all records so
    far. Raises InputError when an output is not finite.
    """
    records: list[Record] = []
    for batch in batches(indices, validation.batch):
        if late():
            return Evaluation(tuple(records), complete=False)
        outputs = runner(validation.inputs.pick(batch))
        records.extend(measure_batch(metric, validation, batch, outputs))
        if on_batch is not None:
            on_batch(len(batch), records)
    return Evaluation(tuple(records), complete=True)


def batches(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Yield consecutive parts of `indices`, each of `size` but the last."""
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def measure_batch(
    metric: Metric, validation: Validation, indices: Sequence[int], outputs: Mapping[str, Array]
) -> list[Record]:
    """Return the records of the images `indices` from their float32 outputs (axis 0 in that order)."""
    names = validation.outputs
    reference = validation.reference.pick(indices, names) if metric.uses_float else None
    records = []
    for row, index in enumerate(indices):
        sample = validation.samples[index]
        mine = [outputs[name][row : row + 1] for name in names]
        theirs = None if reference is None else [reference[name][row : row + 1] for name in names]
        check_finite(sample, dict(zip(names, mine, strict=True)))
        records.append(metric.measure(sample, mine, theirs))
    return records


def check_finite(sample: Sample, outputs: Mapping[str, Array]) -> None:
    """Raise InputError naming image and output when an output holds NaN or infinity."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError.at(
                str(sample.files[0]),
                "the network's output is not finite",
                cure="check preprocessing (mean, stddev) and the model on this image",
                key=name,
            )
