"""The checked job, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from slimai.app.opening.mix import Mix
from slimai.artifacts.cache import hash_files
from slimai.errors import Diagnostic
from slimai.schema.root import SlimaiConfig

if TYPE_CHECKING:
    from slimai.data.preprocess import Preprocess
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph
    from slimai.graph.tflite.stored import StoredNetwork
    from slimai.metrics.base import Metric


@dataclass(frozen=True)
class Job:
    """A checked job: the float network, the images, the metric; and what is worth a warning.

    outputs: the network's outputs in the metric's order. stored: the network with its integers, when it was
    quantized elsewhere; `graph` is then its meaning in float. turned: how many pictures EXIF turns. steps: the fewest
    and the most of a validation sample's sequences, None without any.
    """

    config: SlimaiConfig
    graph: Graph
    preprocess: Preprocess
    calibration: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    metric: Metric
    outputs: tuple[str, ...]
    warnings: tuple[Diagnostic, ...] = ()
    mix: Mix = field(default_factory=Mix)
    stored: StoredNetwork | None = None
    turned: int = 0
    steps: tuple[int, int] | None = None

    @cached_property
    def calibration_hash(self) -> str:
        """The sha256 of the calibration images' files, in order."""
        return hash_files(file for sample in self.calibration for file in sample.files)

    @cached_property
    def validation_hash(self) -> str:
        """The sha256 of the validation images' files, in order."""
        return hash_files(file for sample in self.validation for file in sample.files)

    def sample_shape(self, output: str) -> tuple[int, ...]:
        """Return the shape of an output of one validation sample: [1, ...], of a sequence [1, steps, ...].

        Steps are -1 where samples differ in them.
        """
        from slimai.graph.samples import sample_shape  # noqa: PLC0415 - spares numpy

        own = sample_shape(self.graph.shape(output))
        if self.steps is None:
            return own
        fewest, most = self.steps
        return (1, most if fewest == most else -1, *own[1:])
