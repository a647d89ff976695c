"""Parts of the two float passes as plain values that a worker can be sent."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from slimai.app.float_pass.local import collect_part, collected_tensors, float_runner
from slimai.app.opening.content_keys import graph_hash
from slimai.calibration.collect import activations_runner
from slimai.data.loader import iter_batches
from slimai.data.sample import Sample
from slimai.errors import SlimaiError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.candidates.quantizer import Quantizer
    from slimai.app.opening.job import Job
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.rewrites.aids import Rewrites

    Arrays = dict[str, NDArray[Any]]


W_contra = TypeVar("W_contra", contravariant=True)


class Opens(Protocol[W_contra]):
    """Work of a float pass that opens a session first, on a worker of some kind."""

    def opened(self, worker: W_contra) -> Any:
        """Return what it needs, opened now or with an earlier part."""
        ...


class OpenedJob(Protocol):
    """What a part of a float pass needs of the process that runs it."""

    job: Job
    quantizer: Quantizer
    float_passes: dict[str, Any]


@dataclass(frozen=True)
class CalibrationWork:
    """The calibration images start (included) to stop (excluded), whole batches of `batch` of one float network.

    rewrites: which of the networks; network: its hash, because the statistics must be those of the same bits.
    """

    rewrites: Rewrites
    network: str
    bins: int
    batch: int
    start: int
    stop: int
    machine_bits: ClassVar[bool] = True

    def run(self, worker: OpenedJob) -> Statistics:
        """Return the statistics of these images."""
        graph, session = self.opened(worker)
        images = slice(self.start, self.stop)
        return collect_part(worker.job, graph, images, bins=self.bins, batch=self.batch, runner=session)

    def opened(self, worker: OpenedJob) -> Any:
        """Return the network and its session, opened now or with an earlier part."""
        if self.network not in worker.float_passes:
            graph = self._graph(worker)
            tensors = collected_tensors(graph)["tensors"]
            worker.float_passes = {self.network: (graph, activations_runner(graph, tensors))}
        return worker.float_passes[self.network]

    def _graph(self, worker: OpenedJob) -> Any:
        graph = worker.quantizer.networks.graph(self.rewrites)
        if graph_hash(graph) != self.network:
            raise SlimaiError(
                f"network.input_model: a worker ({socket.gethostname()}) opens another network than the main process "
                f"from {worker.job.config.network.input_model}; give all nodes the same file"
            )
        return graph


@dataclass(frozen=True)
class ReferenceWork:
    """The validation images start (included) to stop (excluded), one batch of the reference pass."""

    start: int
    stop: int
    machine_bits: ClassVar[bool] = True

    def run(self, worker: OpenedJob) -> tuple[Sequence[Sample], Arrays, Arrays]:
        """Return the samples with their geometry, inputs and reference outputs."""
        part = worker.job.validation[self.start : self.stop]
        samples, arrays = next(iter_batches(part, worker.job.preprocess, len(part), threads=1))
        return samples, arrays, dict(self.opened(worker)(arrays))

    def opened(self, worker: OpenedJob) -> Any:
        """Return the runner of the reference network, opened now or with an earlier part."""
        if "reference" not in worker.float_passes:
            worker.float_passes = {"reference": float_runner(worker.job)}
        return worker.float_passes["reference"]


@dataclass(frozen=True)
class OpenWork:
    """Nothing but the opening that some work of a float pass needs, so that the work itself begins at once."""

    work: Opens[Any]
    machine_bits: ClassVar[bool] = True

    def run(self, worker: Any) -> None:
        """Open the job, and the session of the pass."""
        self.work.opened(worker)
