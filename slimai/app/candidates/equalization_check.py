"""What stays of the rewrites that the outputs of the calibration images judge: equalized groups, splits at seams."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slimai.app.opening.batch_sizes import float_batch
from slimai.calibration.collect import collect
from slimai.calibration.unrolled import single_steps
from slimai.data.loader import iter_batches
from slimai.graph.samples import own_shapes
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.planner import build_plan
from slimai.runtime.session import FloatSession
from slimai.schema.quantization import RANGE_BINS
from slimai.simulator.output_ratios import output_ratios
from slimai.simulator.rounding_pass import Images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.candidates.float_networks import FloatNetworks
    from slimai.app.opening.job import Job
    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.rewrites.aids import Rewrites

    Arrays = Mapping[str, NDArray[Any]]
    Batches = Sequence[Arrays]

STEPS = 8  # of a sequence
MEASURED_IMAGES = 16
KEPT_BYTES = 1 << 24  # of float outputs
WORTH = 2.0  # dB that the outputs have to gain by more and smaller layers


@dataclass(frozen=True)
class RewrittenStatistics:
    """The statistics of rewritten networks over the first calibration images, found once for all levels.

    _outputs: of the float network, a batch each, where all of them are small.
    """

    job: Job
    networks: FloatNetworks
    _outputs: list[Arrays] = field(default_factory=list, compare=False, repr=False)

    def images(self) -> Batches:
        """Return the network inputs of the images, of sequences single steps."""
        samples, graph = self.job.calibration[:MEASURED_IMAGES], self.job.graph
        batch = 1 if graph.sequences else float_batch(self.job, graph, samples)
        found = (feeds for _, feeds in iter_batches(samples, self.job.preprocess, batch))
        return list(single_steps(graph, found, STEPS) if graph.sequences else found)

    def truth(self, batches: Batches) -> Callable[[Arrays], Arrays]:
        """Return what gives the float network's outputs of the batches, in order, once."""
        graph = replace(self.job.graph, sequences=())
        # one that is no batch may begin with a scalar
        images = sum(len(next(iter(feeds.values()))) if graph.batchable else 1 for feeds in batches)
        if 4 * images * sum(math.prod(graph.shape(name)) for name in graph.outputs) > KEPT_BYTES:
            return FloatSession(graph, reuse=True).run
        if not self._outputs:
            session = FloatSession(graph)
            self._outputs.extend([session.run(own_shapes(graph, feeds)) for feeds in batches])
        known = iter(self._outputs)
        return lambda _: next(known)

    def of(self, rewrites: Rewrites, batches: Batches) -> tuple[Graph, Statistics]:
        """Return one step of a rewritten network, and its statistics."""
        graph = replace(self.networks.graph(rewrites), sequences=())
        known = self.networks.first_statistics
        if rewrites not in known:
            tensors, means = quantized_tensors(graph), weighted_inputs(graph)
            known[rewrites] = collect(graph, batches, tensors=tensors, per_channel=means, bins=RANGE_BINS)
        return graph, known[rewrites]


@dataclass(frozen=True)
class EqualizationCheck:
    """Measures the outputs' signal-to-noise ratio with and without a rewrite, at one setting of the quantizer.

    options: range 100, limits of calibration, nearest weights, everything else as the level has it.
    """

    statistics: RewrittenStatistics
    options: QuantOptions

    def groups(self, rewrites: Rewrites) -> int | None:
        """Return how many groups keep their factors, those with the largest predicted gain; None: all.

        They are taken back by halves while the ratio over the first calibration images, of all together or in the mean
        of single ones, is below that without any.
        """
        count = self.statistics.networks.equalized_groups(rewrites)
        if not count:
            return None
        batches = self.statistics.images()
        without, found = self._ratios([_unequalized(rewrites), replace(rewrites, groups=None)], batches)
        if (found >= without).all():
            return None
        for groups in _halves(count // 2):
            if (self._ratios([replace(rewrites, groups=groups)], batches)[0] >= without).all():
                return groups
        return 0

    def seams(self, rewrites: Rewrites) -> bool:
        """Return whether depthwise convolutions are split at seams: where that gains `WORTH`.

        The ratio is that of `groups`, without equalized groups, whose choice comes afterwards.
        """
        if not self.statistics.networks.has_seams():
            return False
        plain = _unequalized(rewrites)
        networks = [replace(plain, seams=seams) for seams in (False, True)]
        without, found = self._ratios(networks, self.statistics.images())
        return bool((found - without).min() >= WORTH)

    def _ratios(self, networks: Sequence[Rewrites], batches: Batches) -> NDArray[Any]:
        """Return [networks, 2] the ratios of the outputs of float networks in integers, of one pass over the images."""
        job = self.statistics.job
        target, truth = job.config.target, replace(job.graph, sequences=())
        made = [self.statistics.of(rewrites, batches) for rewrites in networks]
        plans = [build_plan(graph, stats, self.options, target) for graph, stats in made]
        images = Images(len(batches), lambda: batches)
        outputs = self.statistics.truth(batches)
        ratios: NDArray[Any] = output_ratios(truth, plans, target, images, target.arithmetic, outputs)
        return ratios


def _unequalized(rewrites: Rewrites) -> Rewrites:
    """Return the network without equalized groups, the same for all levels where groups are judged."""
    if rewrites.judged is None:
        return replace(rewrites, groups=0)
    return replace(rewrites, groups=0, judged="channel", clamps=False)


def _halves(count: int) -> list[int]:
    """Return count, count // 2 ... down to 1."""
    found = []
    while count > 0:
        found.append(count)
        count //= 2
    return found
