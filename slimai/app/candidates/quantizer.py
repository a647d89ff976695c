"""A candidate becomes an integer network: limits, plan, program."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from slimai.app.candidates.empirical_bias import corrected_options
from slimai.app.candidates.equalization_check import EqualizationCheck, RewrittenStatistics
from slimai.app.candidates.float_networks import FloatNetworks
from slimai.app.candidates.verdicts import NotKept, Verdicts
from slimai.app.opening.job import Job
from slimai.calibration.unrolled import single_steps
from slimai.codegen.arena import memory_key, memory_plan
from slimai.data.loader import iter_batches
from slimai.quantizer.key import plan_key
from slimai.quantizer.levels import LEVELS
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import S8
from slimai.quantizer.planner import build_plan
from slimai.quantizer.rewrites.aids import Choices, aids_for
from slimai.quantizer.rewrites.clustering import Clustered
from slimai.quantizer.weight_store import WeightStore
from slimai.search.candidate import Candidate, Variant
from slimai.search.evaluate import Runner
from slimai.simulator.buffers import BufferPool
from slimai.simulator.cost import estimate
from slimai.simulator.program import compile_plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.quantizer.known_layers import KnownLayers
    from slimai.quantizer.options import Method
    from slimai.quantizer.plan import QuantPlan
    from slimai.quantizer.rewrites.aids import Aids
    from slimai.quantizer.rounding.result import Rounding
    from slimai.simulator.program import Program

# what rounds the weights of a float network, given its plan at the reference setting
Rounder = Callable[["Graph", "QuantPlan"], "Rounding"]


def no_rounder(graph: Graph, plan: QuantPlan) -> Rounding:
    """Stand for a rounder where all weights are nearest ones: there is none to ask."""
    raise ValueError(f"'{graph.name}', level {plan.level}: this quantizer rounds to nearest")


EMPIRICAL_IMAGES = 32
EMPIRICAL_ELEMENTS = 1 << 27  # of the largest activation over all those images: their activations are held at once


@dataclass(frozen=True)
class Quantizer:
    """Builds the integer network of any candidate; `edits` are final limits by tensor, `rounder` rounds weights.

    store, pool: what the candidates share, integer weights and memory of intermediate values. Candidates run one at a
    time. arenas: bytes of the memory plans made so far. verdicts: keeps what was decided about rewrites.
    """

    job: Job
    networks: FloatNetworks
    rounder: Rounder = no_rounder
    edits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=NotKept, compare=False, repr=False)
    store: WeightStore = field(default_factory=WeightStore, compare=False, repr=False)
    pool: BufferPool = field(default_factory=BufferPool, compare=False, repr=False)
    arenas: dict[Hashable, int | None] = field(default_factory=dict, compare=False, repr=False)
    _offsets: dict[Hashable, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict, compare=False, repr=False)
    _groups: dict[tuple[int, Aids], int | None] = field(default_factory=dict, compare=False, repr=False)
    _seams: dict[tuple[int, Aids], bool] = field(default_factory=dict, compare=False, repr=False)
    _roundings: dict[Hashable, Rounding] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, candidate: Candidate, known: KnownLayers | None = None) -> QuantizedCandidate:
        """Return the candidate, planned; it is compiled when it is first run. known: what plans of it share."""
        aids = self.aids(candidate)
        graph, stats = self.networks.get(aids.rewrites)
        options, shared = self.options(candidate, aids), None if known is None else known.layer
        plan = build_plan(graph, stats, options, self.job.config.target, self.store, shared)
        before = self.networks.decisions(aids.rewrites)
        plan = replace(plan, decisions=(*before, *plan.decisions))
        return QuantizedCandidate(self, candidate, plan, stats)

    def aids(self, candidate: Candidate) -> Aids:
        """Return the accuracy aids of a candidate."""
        section = self.job.config.quantization
        choices = Choices(**{item.name: getattr(section, item.name) for item in fields(Choices)})
        found = aids_for(candidate.level, choices)
        clamps = found.clamps and self.job.config.target.clamp_per_channel
        found = replace(
            found, clamps=clamps, weight_clipping=found.weight_clipping or Variant.CLIP in candidate.variant
        )
        if found.seams is None:
            found = replace(found, seams=self._split_at_seams(candidate.level, found))
        if not found.equalization or found.judged is None:
            return found
        return replace(found, groups=self._equalized_groups(candidate.level, found))

    @cached_property
    def _rewritten(self) -> RewrittenStatistics:
        return RewrittenStatistics(self.job, self.networks)

    def _split_at_seams(self, level: int, aids: Aids) -> bool:
        """Return whether depthwise convolutions behind joins are split at a level."""
        if not self.networks.has_seams():
            return False
        if (level, aids) not in self._seams:
            check = self._check(level, aids)
            found = self.verdicts.get("seams", aids, check.options, lambda: check.seams(aids.rewrites))
            self._seams[level, aids] = bool(found)
        return self._seams[level, aids]

    def _equalized_groups(self, level: int, aids: Aids) -> int | None:
        """Return how many groups of channels are equalized at a level; None: all whose predicted noise falls."""
        if (level, aids) not in self._groups:
            check = self._check(level, aids)
            found = self.verdicts.get("groups", aids, check.options, lambda: check.groups(aids.rewrites))
            self._groups[level, aids] = found
        return self._groups[level, aids]

    def _check(self, level: int, aids: Aids) -> EqualizationCheck:
        """Return what judges rewrites by the outputs, at range 100 with nearest weights."""
        options = replace(self._options(Candidate(level), aids), range_mode="scale")
        return EqualizationCheck(self._rewritten, options)

    def arithmetic(self, plan: QuantPlan) -> str:
        """Return the preset that a plan is compiled for, or ``native``."""
        del plan
        return self.job.config.target.arithmetic

    def options(self, candidate: Candidate, aids: Aids) -> QuantOptions:
        """Return the quantizer's options of a candidate, with its empirical bias offsets where its variant has them."""
        options = self._plain_options(candidate, aids)
        if Variant.COMPENSATED in candidate.variant:
            options = replace(options, rounding=self.rounding(candidate).layers)
        return self._corrected(candidate, aids, options) if Variant.EMPIRICAL in candidate.variant else options

    def rounding(self, candidate: Candidate) -> Rounding:
        """Return the compensated weights of a candidate, without edited limits and mixed precision.

        All candidates of its float network, weight grid and scheme share those of one reference setting: range 100,
        limits of calibration. With `Candidate.own_limits` they are found at this candidate's range or method.
        """
        aids = self.aids(candidate)
        options = self._options(candidate, aids)
        if not candidate.own_limits:
            options = replace(self._options(Candidate(candidate.level), aids), range_mode="scale")
        key = (candidate.level, aids, options.percent, options.range_mode, options.method)
        if key not in self._roundings:
            graph, stats = self.networks.get(aids.rewrites)
            plan = build_plan(graph, stats, options, self.job.config.target, self.store)
            self._roundings[key] = self.rounder(graph, plan)
        return self._roundings[key]

    def _corrected(self, candidate: Candidate, aids: Aids, options: QuantOptions) -> QuantOptions:
        key = (candidate, tuple(sorted(self.edits.items())))
        if key not in self._offsets:
            graph, stats = self.networks.get(aids.rewrites)
            batches, target = self._correction_images(graph), self.job.config.target
            graph = replace(graph, sequences=())
            found = corrected_options(graph, stats, options, target, batches)
            self._offsets[key] = found.bias_offsets
        return replace(options, bias_offsets=self._offsets[key])

    def _correction_images(self, graph: Graph) -> list[Mapping[str, NDArray[Any]]]:
        """Return calibration images, as many as their activations fit in memory."""
        largest = max(math.prod(graph.shape(name)) for name in graph.activations())
        count = max(1, min(EMPIRICAL_IMAGES, EMPIRICAL_ELEMENTS // max(largest, 1)))
        found = (feeds for _, feeds in iter_batches(self.job.calibration[:count], self.job.preprocess, 1))
        if not graph.sequences:
            return list(found)
        share = max(1, count // len(self.job.calibration[:count]))  # steps of a sequence
        return list(single_steps(graph, found, share))

    def _plain_options(self, candidate: Candidate, aids: Aids) -> QuantOptions:
        raised = LEVELS[candidate.level].raised_bits or LEVELS[candidate.level].bits
        named = {**self.job.mix.datatypes.get(candidate.level, {}), **dict.fromkeys(candidate.raised, (raised, raised))}
        weights = dict(self.job.mix.weights.get(candidate.level, {}))
        if self.job.config.quantization.weight_bits == 4:
            weights |= dict.fromkeys(candidate.raised, S8)
        rewritten = self.networks.rewritten(aids.rewrites) if named or weights else Clustered(self.job.graph)
        return replace(
            self._options(candidate, aids),
            limits=self.edits,
            datatypes=rewritten.spread(named),
            weights=rewritten.spread_weights(weights),
        )

    def _options(self, candidate: Candidate, aids: Aids) -> QuantOptions:
        """Return the options without edited limits and mixed precision."""
        section = self.job.config.quantization
        central = candidate.central or Variant.PERCENTILE in candidate.variant
        return QuantOptions(
            level=candidate.level,
            percent=100.0 if candidate.percent is None else float(candidate.percent),
            range_mode="percentile" if central else section.range_mode,
            method=cast("Method | None", candidate.method),
            level4_weights=section.level4_weights,
            nonnegative_inputs=nonnegative_inputs(self.job),
            bias_correction=aids.bias_correction,
            weight_clipping=aids.weight_clipping,
            weight_bits=section.weight_bits,
            narrow_clipping=section.weight_clipping is not False,
            tail_clipping=aids.tail_clipping,
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

    def __init__(self, quantizer: Quantizer, candidate: Candidate, plan: QuantPlan, stats: Statistics) -> None:
        self._quantizer = quantizer
        self.candidate = candidate
        self.plan = plan
        self.stats = stats
        self._program: Program | None = None

    @cached_property
    def key(self) -> str:
        """The hash of all integer parameters."""
        return plan_key(self.plan)

    @cached_property
    def latency_ms(self) -> float | None:
        """The estimated time of a frame on the target."""
        config = self._quantizer.job.config
        return estimate(self.plan, config.target, config.performance).milliseconds

    @cached_property
    def arena(self) -> int | None:
        """The bytes of the activations' memory by the plan of the C code; None where layers run on the host.

        It depends on types and tied scales alone, so candidates that are alike in these share one plan.
        """
        known, key = self._quantizer.arenas, memory_key(self.plan)
        if key not in known:
            target = self._quantizer.job.config.target
            arithmetic = self._quantizer.arithmetic(self.plan)
            program = compile_plan(self.plan, target, arithmetic=arithmetic, pool=self._quantizer.pool)
            found = memory_plan(program, target)
            known[key] = None if found is None else found.arena
        return known[key]

    @property
    def program(self) -> Program:
        """The compiled integer network."""
        if self._program is None:
            target = self._quantizer.job.config.target
            arithmetic = self._quantizer.arithmetic(self.plan)
            self._program = compile_plan(self.plan, target, arithmetic=arithmetic, pool=self._quantizer.pool)
        return self._program

    def runner(self) -> Runner:
        """Return a function from float inputs to float outputs through the integer network."""
        program = self.program

        def run(feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
            return program.dequantize(program.samples(feeds))

        return run

    def release(self) -> None:
        """Forget the program."""
        self._program = None
