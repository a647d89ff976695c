"""What stays of the rewrites that the outputs of the calibration images judge: equalized groups, splits at seams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slimai.calibration.collect import collect
from slimai.calibration.unrolled import single_steps
from slimai.data.loader import iter_batches
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.planner import build_plan
from slimai.schema.quantization import RANGE_BINS
from slimai.simulator.output_ratios import output_ratios
from slimai.simulator.rounding_pass import Images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.candidates.float_networks import FloatNetworks
    from slimai.app.opening.job import Job
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.rewrites.aids import Rewrites

STEPS = 8  # of a sequence
MEASURED_IMAGES = 16
WORTH = 2.0  # dB that the outputs have to gain by more and smaller layers


@dataclass(frozen=True)
class EqualizationCheck:
    """Measures the outputs' signal-to-noise ratio with and without a rewrite, at one setting of the quantizer.

    options: range 100, limits of calibration, nearest weights, everything else as the level has it.
    """

    job: Job
    networks: FloatNetworks
    options: QuantOptions

    def groups(self, rewrites: Rewrites) -> int | None:
        """Return how many groups keep their factors, those with the largest predicted gain; None: all.

        They are taken back by halves while the ratio over the first calibration images, of all together or in the mean
        of single ones, is below that without any.
        """
        count = self.networks.equalized_groups(rewrites)
        tried = _halves(count)
        if not tried:
            return None
        batches = self._batches()
        without = self._ratios(replace(rewrites, groups=0), batches)
        for groups in tried:
            found = self._ratios(replace(rewrites, groups=groups if groups < count else None), batches)
            if (found >= without).all():
                return None if groups == count else groups
        return 0

    def seams(self, rewrites: Rewrites) -> bool:
        """Return whether depthwise convolutions are split at seams: where that gains `WORTH`.

        The ratio is that of `groups`, without equalized groups, whose choice comes afterwards.
        """
        if not self.networks.has_seams():
            return False
        batches, plain = self._batches(), replace(rewrites, groups=0)
        without, found = (self._ratios(replace(plain, seams=seams), batches) for seams in (False, True))
        return bool((found - without).min() >= WORTH)

    def _batches(self) -> list[Mapping[str, NDArray[Any]]]:
        samples = self.job.calibration[:MEASURED_IMAGES]
        found = (feeds for _, feeds in iter_batches(samples, self.job.preprocess, 1))
        graph = self.job.graph
        return list(single_steps(graph, found, STEPS) if graph.sequences else found)

    def _ratios(self, rewrites: Rewrites, batches: Sequence[Mapping[str, NDArray[Any]]]) -> NDArray[Any]:
        """Return [2] the ratios of the outputs of one float network in integers."""
        graph, truth = (replace(item, sequences=()) for item in (self.networks.graph(rewrites), self.job.graph))
        tensors, means = quantized_tensors(graph), weighted_inputs(graph)
        stats = collect(graph, batches, tensors=tensors, per_channel=means, bins=RANGE_BINS)
        target = self.job.config.target
        plan = build_plan(graph, stats, self.options, target)
        images = Images(len(batches), lambda: batches)
        ratios: NDArray[Any] = output_ratios(truth, [plan], target, images, target.arithmetic)[0]
        return ratios


def _halves(count: int) -> list[int]:
    """Return count, count // 2 ... down to 1."""
    found = []
    while count > 0:
        found.append(count)
        count //= 2
    return found
