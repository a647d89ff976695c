"""The contract of a metric: measure one image into a record, combine records into a result.

Records are plain arrays, so the search can journal them, bootstrap over them and score any subset
of the images without running the network again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import ImageGeometry, Sample
from slimai.metrics.labels.annotation_fit import Fit
from slimai.metrics.labels.annotation_turn import Made

Array = NDArray[Any]
Record = Mapping[str, Array]

__all__ = ["Array", "ImageGeometry", "Metric", "MetricContext", "Record", "Result", "Sample"]


@dataclass(frozen=True)
class MetricContext:
    """What a metric may know of the job: output names and shapes (batch 1), folders, network class.

    input_layout: of the network; empty where dumps are scored of which nobody knows it.
    """

    outputs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    image_dir: Path
    base_dir: Path
    network_class: str = "Other"
    input_layout: str = "NCHW"
    input_size: tuple[int, int] | None = None
    samples: tuple[Sample, ...] = ()
    annotation_fit: Fit = "auto"
    annotation_exif: Made = "turned"
    exif: Literal["apply", "ignore"] = "apply"


@dataclass(frozen=True)
class Result:
    """A score over a set of images.

    value: the raw number (dB, mAP ...). score: in [0, 1], larger is better, None when there is none.
    values: every number that the metric reports, by name. per_image: one score an image where the
    metric is a mean over images, else None.
    """

    value: float
    score: float | None
    values: Mapping[str, float] = field(default_factory=dict)
    per_image: NDArray[np.float64] | None = None


class Metric(Protocol):
    """A metric. `uses_float` tells whether `measure` needs the float network's outputs.

    Four members are optional: `files`, the files that its result depends on beside its settings (label images,
    a plug-in's code), `quick_score` and `resampled_scores`, see `slimai.metrics.scores`, and
    `check_samples(samples) -> list[Diagnostic]`, what labels and pictures of the job say against each other.
    """

    name: str
    uses_float: bool
    higher_is_better: bool
    value_range: tuple[float, float]

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None) -> Record:
        """Return the record of one image; arrays have no batch axis removed (axis 0 is 1)."""
        ...

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the result over these images; the order of records does not matter."""
        ...
