"""Networks that were quantized elsewhere: candidates are accuracy levels, nothing is calibrated (SPEC 13).

The reference that float networks have is here the network's own integers: level 3 with every weight as stored,
dequantized. What a metric calls the float score is the score of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimai.app.prepare import Job
from slimai.app.quantize import FloatNetworks, QuantizedCandidate, Quantizer
from slimai.search.candidate import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.graph.tflite.stored import StoredNetwork
    from slimai.quantizer.aids import Aids, Rewrites
    from slimai.quantizer.plan import QuantPlan
    from slimai.schema.target import TargetSection
    from slimai.simulator.program import Program

    Arrays = Mapping[str, NDArray[Any]]

REFERENCE = "the network's own integers (level 3, weights as stored), dequantized"
ADVICE = "its parameters are stored in the model: quantize the network again"


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
    from slimai.calibration.statistics import Statistics

    del graph, rewrites
    return Statistics({}, 0, 0)


@dataclass(frozen=True)
class StoredQuantizer(Quantizer):
    """Builds the integer network of an accuracy level from the stored one."""

    def __call__(self, candidate: Candidate) -> QuantizedCandidate:
        """Return the candidate, planned from stored parameters."""
        from slimai.quantizer.prequantized import stored_plan

        keep = self.job.config.quantization.keep_asymmetric_weights
        plan = stored_plan(stored_network(self.job), candidate.level, keep_asymmetric_weights=keep)
        return QuantizedCandidate(self, candidate, plan, no_statistics(plan.graph))

    def aids(self, candidate: Candidate) -> Aids:
        """Return no aids: all of them change weights or need calibration."""
        from slimai.quantizer.aids import Aids

        del candidate
        return Aids()

    def arithmetic(self, plan: QuantPlan) -> str:
        """Return the preset of a plan."""
        return stored_arithmetic(plan, self.job.config.target)


def stored_arithmetic(plan: QuantPlan, target: TargetSection) -> str:
    """Return the preset of a stored network's plan.

    What the configuration names; for ``native`` the target's asymmetric preset at level 3, for every layer, and its
    symmetric one at the others.
    """
    from slimai.quantizer.prequantized import AS_STORED

    if target.arithmetic != "native":
        return target.arithmetic
    return target.native.asym8 if plan.level == AS_STORED else target.native.sym8


def stored_network(job: Job) -> StoredNetwork:
    """Return the stored network of a job that has one."""
    if job.stored is None:
        raise ValueError("the job's network is not a pre-quantized one")
    return job.stored


def reference_program(job: Job, *, threads: int) -> Program:
    """Return the program of the reference: level 3, every weight as stored."""
    from slimai.quantizer.prequantized import stored_plan
    from slimai.simulator.program import compile_plan

    plan = stored_plan(stored_network(job), keep_asymmetric_weights=True)
    target = job.config.target
    return compile_plan(plan, target, arithmetic=target.native.asym8, threads=threads)


def reference_runner(job: Job, *, threads: int) -> Callable[[Arrays], dict[str, Any]]:
    """Return the function from float inputs to the dequantized outputs of the reference."""
    program = reference_program(job, threads=threads)
    return lambda feeds: dict(program.dequantize(program.run(feeds)))
