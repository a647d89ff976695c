"""Networks that were quantized elsewhere: candidates are accuracy levels, nothing is calibrated (SPEC 13).

The reference that float networks have is here the network's own integers: level 3 with every weight as stored,
dequantized. What a metric calls the float score is the score of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimai.app.candidates.float_networks import FloatNetworks
from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
from slimai.app.candidates.stored_reference import stored_network
from slimai.app.opening.job import Job
from slimai.calibration.statistics import Statistics
from slimai.quantizer.prequantized import keeps_stored, preset_as_stored, stored_plan
from slimai.quantizer.rewrites.aids import Aids
from slimai.search.candidate import Candidate

if TYPE_CHECKING:
    from slimai.graph.ir import Graph
    from slimai.quantizer.known_layers import KnownLayers
    from slimai.quantizer.plan import QuantPlan
    from slimai.quantizer.rewrites.aids import Rewrites
    from slimai.schema.target import TargetSection


class StoredNetworks(FloatNetworks):
    """The dequantized network; there are no statistics."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, no_statistics)

    def graph(self, rewrites: Rewrites) -> Graph:
        """Return the network as it is: nothing can be balanced or moved in stored integers."""
        del rewrites
        return self._job.graph


def no_statistics(graph: Graph, rewrites: Rewrites | None = None) -> Statistics:
    """Return statistics of no tensor."""
    del graph, rewrites
    return Statistics({}, 0, 0)


@dataclass(frozen=True)
class StoredQuantizer(Quantizer):
    """Builds the integer network of an accuracy level from the stored one."""

    def __call__(self, candidate: Candidate, known: KnownLayers | None = None) -> QuantizedCandidate:
        """Return the candidate, planned from stored parameters."""
        del known
        keep = self.job.config.quantization.keep_asymmetric_weights
        plan = stored_plan(stored_network(self.job), candidate.level, keep_asymmetric_weights=keep)
        return QuantizedCandidate(self, candidate, plan, no_statistics(plan.graph))

    def aids(self, candidate: Candidate) -> Aids:
        """Return no aids: all of them change weights or need calibration."""
        del candidate
        return Aids()

    def arithmetic(self, plan: QuantPlan) -> str:
        """Return the preset of a plan."""
        return stored_arithmetic(plan, self.job.config.target)


def stored_arithmetic(plan: QuantPlan, target: TargetSection) -> str:
    """Return the preset of a stored network's plan.

    What the configuration names; for ``native`` the target's asymmetric preset at level 3, for every layer, that of
    16-bit inputs at level 4, and its symmetric one at the others.
    """
    if target.arithmetic != "native":
        return target.arithmetic
    return preset_as_stored(plan, target) if keeps_stored(plan.level) else target.native.sym8
