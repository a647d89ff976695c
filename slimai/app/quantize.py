"""A candidate becomes an integer network: limits, plan, program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from slimai.app.prepare import Job
from slimai.search.candidate import Candidate
from slimai.search.evaluate import Runner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.plan import QuantPlan
    from slimai.simulator.program import Program


def candidates(job: Job) -> tuple[Candidate, ...]:
    """Return the space of the configuration: levels x ranges, or levels x methods in single-shot."""
    section = job.config.quantization
    if section.single_shot:
        return tuple(
            Candidate(level, method=method) for level in section.accuracy_level for method in section.calibration
        )
    return tuple(Candidate(level, percent) for level in section.accuracy_level for percent in section.range.values())


@dataclass(frozen=True)
class Quantizer:
    """Builds the integer network of any candidate from one set of statistics."""

    job: Job
    graph: Graph
    stats: Statistics
    threads: int

    def __call__(self, candidate: Candidate) -> QuantizedCandidate:
        """Return the candidate, planned; it is compiled when it is first run."""
        from slimai.quantizer.planner import build_plan

        plan = build_plan(self.graph, self.stats, self.options(candidate), self.job.config.target)
        return QuantizedCandidate(self, candidate, plan)

    def options(self, candidate: Candidate) -> QuantOptions:
        """Return the quantizer's options of a candidate."""
        from slimai.quantizer.options import QuantOptions

        section = self.job.config.quantization
        return QuantOptions(
            level=candidate.level,
            percent=100.0 if candidate.percent is None else float(candidate.percent),
            range_mode=section.range_mode,
            method=cast('Literal["ImprovedMSE", "ImprovedKL"] | None', candidate.method),
            level4_weights=section.level4_weights,
            nonnegative_inputs=nonnegative_inputs(self.job),
        )


def nonnegative_inputs(job: Job) -> tuple[str, ...]:
    """Return the inputs that cannot be negative: pictures of pixels 0..255 whose mean is 0 or less."""
    network = job.config.network
    if network.input_data_layout == "NonImage":
        return ()
    names = []
    for name in job.graph.inputs:
        settings = network.input_node_name.get(name)
        mean = network.mean if settings is None or settings.mean is None else settings.mean
        if all(value <= 0 for value in mean):
            names.append(name)
    return tuple(names)


class QuantizedCandidate:
    """The plan of a candidate, its key and cost, and its program while it is being run."""

    def __init__(self, quantizer: Quantizer, candidate: Candidate, plan: QuantPlan) -> None:
        self._quantizer = quantizer
        self.candidate = candidate
        self.plan = plan
        self._program: Program | None = None

    @cached_property
    def key(self) -> str:
        """The hash of all integer parameters."""
        from slimai.quantizer.key import plan_key

        return plan_key(self.plan)

    @cached_property
    def latency_ms(self) -> float | None:
        """The estimated time of a frame on the target."""
        from slimai.simulator.cost import estimate

        config = self._quantizer.job.config
        return estimate(self.plan, config.target, config.performance).milliseconds

    @property
    def program(self) -> Program:
        """The compiled integer network."""
        if self._program is None:
            from slimai.simulator.program import compile_plan

            target = self._quantizer.job.config.target
            self._program = compile_plan(
                self.plan, target, arithmetic=target.arithmetic, threads=self._quantizer.threads
            )
        return self._program

    def runner(self) -> Runner:
        """Return a function from float inputs to float outputs through the integer network."""
        program = self.program

        def run(feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
            return program.dequantize(program.run(feeds))

        return run

    def release(self) -> None:
        """Forget the program."""
        self._program = None
