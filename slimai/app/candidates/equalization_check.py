"""How many groups of channels stay equalized: so many that no outputs of the calibration images lose by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slimai.calibration.collect import collect
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
    from slimai.quantizer.plan import QuantPlan
    from slimai.quantizer.rewrites.aids import Rewrites

MEASURED_IMAGES = 16


@dataclass(frozen=True)
class EqualizationCheck:
    """Measures the outputs' signal-to-noise ratio with and without equalized groups, at one setting of the quantizer.

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
        base = self._plan(replace(rewrites, groups=0), batches)
        for groups in tried:
            plan = self._plan(replace(rewrites, groups=groups if groups < count else None), batches)
            ratios = self._ratios([base, plan], batches)
            if (ratios[1] >= ratios[0]).all():
                return None if groups == count else groups
        return 0

    def _batches(self) -> list[Mapping[str, NDArray[Any]]]:
        samples = self.job.calibration[:MEASURED_IMAGES]
        return [feeds for _, feeds in iter_batches(samples, self.job.preprocess, 1)]

    def _plan(self, rewrites: Rewrites, batches: Sequence[Mapping[str, NDArray[Any]]]) -> QuantPlan:
        graph = self.networks.graph(rewrites)
        tensors, means = quantized_tensors(graph), weighted_inputs(graph)
        stats = collect(graph, batches, tensors=tensors, per_channel=means, bins=RANGE_BINS)
        return build_plan(graph, stats, self.options, self.job.config.target)

    def _ratios(self, plans: Sequence[QuantPlan], batches: Sequence[Mapping[str, NDArray[Any]]]) -> NDArray[Any]:
        target = self.job.config.target
        images = Images(len(self.job.calibration[:MEASURED_IMAGES]), lambda: batches)
        return output_ratios(self.job.graph, plans, target, images, target.arithmetic)


def _halves(count: int) -> list[int]:
    """Return count, count // 2 ... down to 1."""
    found = []
    while count > 0:
        found.append(count)
        count //= 2
    return found
