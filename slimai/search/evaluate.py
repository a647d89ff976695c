"""One candidate against the validation set: run the integer network, measure every image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.artifacts.spill import Spill, slices
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.base import Metric, Record

Array = NDArray[Any]


class Runner(Protocol):
    """Anything that runs the network on a batch: the simulator's program, or the float session."""

    def __call__(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return float32 outputs by name for feeds by name; axis 0 is the batch."""
        ...


@dataclass
class Validation:
    """The validation set, preprocessed once: samples, inputs on disk, float outputs on disk."""

    samples: tuple[Sample, ...]
    inputs: Spill
    reference: Spill
    outputs: tuple[str, ...]
    batch: int
    reference_records: list[Record] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """The records of the images that were run, in list order, and whether all of them were."""

    records: tuple[Record, ...]
    complete: bool


OnBatch = Callable[[int, Sequence[Record]], None]


def evaluate(
    runner: Runner,
    validation: Validation,
    metric: Metric,
    *,
    deadline: float | None = None,
    on_batch: OnBatch | None = None,
) -> Evaluation:
    """Return the records of the validation set, in list order.

    Stops after the batch in which the monotonic clock passes `deadline`. `on_batch` gets the number of
    images of the batch and the records so far. Raises InputError when an output is not finite.
    """
    records: list[Record] = []
    total = len(validation.samples)
    for start, stop in slices(total, validation.batch):
        outputs = runner(validation.inputs.get(start, stop))
        records.extend(measure_batch(metric, validation, start, stop, outputs))
        if on_batch is not None:
            on_batch(stop - start, records)
        if deadline is not None and time.monotonic() >= deadline and stop < total:
            return Evaluation(tuple(records), complete=False)
    return Evaluation(tuple(records), complete=True)


def measure_batch(
    metric: Metric, validation: Validation, start: int, stop: int, outputs: Mapping[str, Array]
) -> list[Record]:
    """Return the records of the images start..stop (excluded) from their float32 outputs."""
    reference = validation.reference.get(start, stop, validation.outputs) if metric.uses_float else None
    records = []
    for offset, sample in enumerate(validation.samples[start:stop]):
        mine = [outputs[name][offset : offset + 1] for name in validation.outputs]
        theirs = None if reference is None else [reference[name][offset : offset + 1] for name in validation.outputs]
        check_finite(sample, dict(zip(validation.outputs, mine, strict=True)))
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
