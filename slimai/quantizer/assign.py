"""Integer parameters of every activation: limits, groups and level together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from slimai.calibration.limits import Limits, union
from slimai.calibration.statistics import Statistics
from slimai.errors import InputError
from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.graph.sign import nonnegative_tensors
from slimai.quantizer.joins import unlike_joins
from slimai.quantizer.layers import Step, layer_steps, quantized_tensors
from slimai.quantizer.levels import LEVELS, Scheme, activation_params, as_float32, fixed_params
from slimai.quantizer.masks import Masks, masked_limits
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import IntType, QParams
from slimai.quantizer.plan import Decision
from slimai.quantizer.recurrent import CELL, CELL_BITS, cell_params, cell_tensors, initial_state, reach_initial_cells
from slimai.quantizer.tails import clip_tails
from slimai.quantizer.tensor_limits import tensor_grid, tensor_limits
from slimai.quantizer.tying import Groups, TyingInput, tie
from slimai.quantizer.weight_types import weight_types
from slimai.quantizer.wide_magnitudes import wide_magnitudes
from slimai.quantizer.wide_states import wide_states
from slimai.quantizer.wide_sums import wide_sums


@dataclass
class Assignment:
    """Parameters by tensor and width for one candidate; built by `assign`.

    steps: the layers. limits: bits -> tensor -> limits before groups are formed. reads / writes: bits by node name.
    widths: bits by tensor. floors: smallest scale of a group,
    by representative, set where a layer could not reach a finer output grid. masks: bits -> what
    sentinels ask for. notes: what was decided about limits and widths. narrow: layers that keep 8-bit weights
    whatever they read. weights: the types of weights that are not the level's, by node name.
    """

    graph: Graph
    steps: tuple[Step, ...]
    scheme: Scheme
    limits: Mapping[int, Mapping[str, Limits]]
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    widths: Mapping[str, int]
    nonnegative: frozenset[str]
    overrides: Mapping[str, tuple[float, float]]
    groups: Groups
    floors: dict[str, float] = field(default_factory=dict)
    masks: Mapping[int, Masks] = field(default_factory=dict)
    notes: tuple[Decision, ...] = ()
    narrow: frozenset[str] = frozenset()
    weights: Mapping[str, IntType] = field(default_factory=dict)
    _params: dict[tuple[str, int], QParams] = field(default_factory=dict, repr=False)  # until a floor is raised
    _limits: dict[tuple[str, int], Limits] = field(default_factory=dict, repr=False)

    @cached_property
    def _cells(self) -> frozenset[str]:
        """Representatives of the groups of cells."""
        return frozenset(self.groups.find(name) for step in self.steps for name in cell_tensors(step))

    @cached_property
    def _fixed_ops(self) -> Mapping[str, str]:
        """Representative of a group -> the fixed-scale operator that writes it."""
        fixed = {}
        for step in self.steps:
            if step.integer and TRAITS[step.node.op].scale == "fixed":
                fixed[self.groups.find(step.outputs[0])] = step.node.op
        return fixed

    def params(self, tensor: str, bits: int | None = None) -> QParams:
        """Return the parameters of `tensor` at its own width, or at `bits` (the same limits, taken anew)."""
        bits = self.widths[tensor] if bits is None else bits
        head = self.groups.find(tensor)
        if (head, bits) not in self._params:
            self._params[head, bits] = self._grid(tensor, head, bits)
        return self._params[head, bits]

    def _grid(self, tensor: str, head: str, bits: int) -> QParams:
        limits = self.group_limits(tensor, bits)
        if head in self._fixed_ops and not self._edited(head):
            return fixed_params(self.scheme, self._fixed_ops[head], bits)
        if head in self._cells and bits == CELL_BITS:
            return cell_params(limits.low, limits.high)
        nonnegative = all(name in self.nonnegative for name in self.groups.members[head])
        found = activation_params(self.scheme, limits.low, limits.high, nonnegative=nonnegative, bits=bits)
        floor = self.floors.get(head, 0.0)
        return _with_floor(found, limits, floor, free_zero=self.scheme.at(bits).asymmetric)

    def group_limits(self, tensor: str, bits: int) -> Limits:
        """Return the limits that the group of `tensor` has to cover; edited ones, where there are any, are final."""
        head = self.groups.find(tensor)
        if (head, bits) not in self._limits:
            edited = self._edited(head)
            own = edited or [self.limits[bits][name] for name in self.groups.members[head]]
            self._limits[head, bits] = union(own).with_zero()
        return self._limits[head, bits]

    def _edited(self, head: str) -> list[Limits]:
        return [Limits(*self.overrides[name]) for name in self.groups.members[head] if name in self.overrides]

    def raise_scale(self, tensor: str, smallest: float) -> None:
        """Make the scale of the group of `tensor` at least `smallest`."""
        head = self.groups.find(tensor)
        self.floors[head] = max(self.floors.get(head, 0.0), smallest)
        self._params.clear()


def _with_floor(params: QParams, limits: Limits, floor: float, *, free_zero: bool) -> QParams:
    if params.scale >= floor:
        return params
    scale = as_float32(floor)
    zero = params.dtype.low + round(-limits.low / scale) if free_zero else params.zero_point
    return QParams(params.dtype, scale, zero)


def assign(graph: Graph, stats: Statistics, options: QuantOptions) -> Assignment:
    """Return the parameters of every quantized activation of `graph` for one candidate.

    Raises:
        InputError: the level is unknown, or calibration has not seen a tensor (all of them are named).
    """
    scheme = scheme_of(options.level)
    steps = layer_steps(graph)
    tensors = quantized_tensors(graph, steps)
    bits = scheme.bits
    nonnegative = nonnegative_tensors(graph, options.nonnegative_inputs)
    joins = unlike_joins(graph, stats, options.level, steps, nonnegative)
    for width in {width for widths in options.datatypes.values() for width in widths}:
        scheme.check_mixed(width)
    sums = wide_sums(graph, stats, scheme, steps)
    states = wide_states(graph, stats, scheme, steps, options.datatypes)
    magnitudes = wide_magnitudes(stats, scheme, steps)
    raised = widest(sums.datatypes, states.datatypes, magnitudes.datatypes)
    datatypes = {**widest(raised, joins.datatypes), **options.datatypes}
    reads = {step.name: datatypes.get(step.name, (bits, bits))[0] for step in steps}
    writes = {step.name: datatypes.get(step.name, (bits, bits))[1] for step in steps}
    widths = tensor_widths(graph, steps, tensors, reads, writes, bits)
    fixed = fixed_tensors(graph, steps)
    used = {*widths.values(), *(reads[step.name] for step in steps if step.integer)}
    limits: dict[int, Mapping[str, Limits]] = {}
    found: list[Decision] = []
    for width in used:
        grids = {name: tensor_grid(scheme, width, name in nonnegative) for name in tensors}
        solved, replaced = tensor_limits(graph, stats, options, grids, fixed, width)
        reach_initial_cells(graph, steps, solved)
        limits[width] = solved
        found += [item for item in replaced if widths[item.where] == width]
    notes: dict[str, Decision] = {}
    if options.tail_clipping:
        kept = frozenset((*graph.inputs, *graph.outputs, *options.limits))
        size = _output_step(scheme, limits, widths, nonnegative)
        for width, known in tuple(limits.items()):
            limits[width], decisions = clip_tails(steps, known, kept, size)
            notes |= {item.where: item for item in decisions if widths[item.where] == width}
    masks = {width: masked_limits(graph, stats, own, width, frozenset(options.limits)) for width, own in limits.items()}
    limits = {width: dict(mask.limits) for width, mask in masks.items()}
    own = {name: limits[widths[name]][name] for name in tensors}
    held = (frozenset(graph.inputs) - graph.states.keys()) | fixed
    groups = tie(TyingInput(graph, steps, own, widths, reads, held, nonnegative, scheme))
    typed = weight_types(graph, steps, options, reads, reads.keys() - options.datatypes.keys())
    told = (
        *sums.decisions,
        *states.decisions,
        *magnitudes.decisions,
        *joins.decisions,
        *found,
        *notes.values(),
        *typed.decisions,
    )
    return Assignment(
        graph,
        steps,
        scheme,
        limits,
        reads,
        writes,
        widths,
        nonnegative,
        options.limits,
        groups,
        masks=masks,
        notes=told,
        narrow=frozenset(raised) - frozenset(options.datatypes),
        weights=typed.types,
    )


def widest(*found: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return node name -> the largest (bits read, bits written) that any of these asks for."""
    names = dict.fromkeys(name for item in found for name in item)
    asked = {name: [item[name] for item in found if name in item] for name in names}
    return {
        name: (max(reads for reads, _ in pairs), max(writes for _, writes in pairs)) for name, pairs in asked.items()
    }


def _output_step(
    scheme: Scheme, limits: Mapping[int, Mapping[str, Limits]], widths: Mapping[str, int], nonnegative: frozenset[str]
) -> Callable[[Step], float]:
    """Return the scale that each layer's first output would have by itself, before it shares one."""
    known = {width: dict(found) for width, found in limits.items()}

    def size(step: Step) -> float:
        name = step.outputs[0]
        bits = widths[name]
        if TRAITS[step.node.op].scale == "fixed":
            return fixed_params(scheme, step.node.op, bits).scale
        low, high = known[bits][name]
        return activation_params(scheme, low, high, nonnegative=name in nonnegative, bits=bits).scale

    return size


def scheme_of(level: int) -> Scheme:
    """Return the scheme of an accuracy level; InputError for another number."""
    if level not in LEVELS:
        known = ", ".join(map(str, LEVELS))
        raise InputError(f"quantization.accuracy_level: there is no level {level}; levels are {known}")
    return LEVELS[level]


def fixed_tensors(graph: Graph, steps: tuple[Step, ...]) -> frozenset[str]:
    """Return the tensors that no range narrows: outputs of fixed scale (Sigmoid, Softmax, Tanh), and cells."""
    found = (step for step in steps if step.integer and TRAITS[step.node.op].scale == "fixed")
    cells = {name for step in steps for name in cell_tensors(step)}
    return frozenset(name for step in found for name in step.outputs if name in graph.tensors) | cells


def tensor_widths(
    graph: Graph,
    steps: tuple[Step, ...],
    tensors: tuple[str, ...],
    reads: Mapping[str, int],
    writes: Mapping[str, int],
    bits: int,
) -> dict[str, int]:
    """Return bits by tensor: what its layer writes; a network input has the widest type that a layer reads it in.

    Cells have 16 bits, and so has a network input that brings them.
    """
    widths = dict.fromkeys(tensors, bits)
    for step in steps:
        widths.update((name, writes[step.name]) for name in step.outputs if name in widths and step.integer)
        widths.update(dict.fromkeys(cell_tensors(step), CELL_BITS))
    brought = {initial_state(step, CELL) for step in steps if cell_tensors(step)}
    for name in set(graph.inputs) & set(tensors):
        widths[name] = max(reads[step.name] for step in steps if step.integer and name in step.inputs)
        if name in brought and graph.only_consumer(name) is not None:
            widths[name] = CELL_BITS
    for state, output in graph.states.items():
        if state in widths and output in widths:  # what reads it otherwise gets a Requantize
            widths[state] = widths[output]
    return widths


def host_decisions(steps: tuple[Step, ...]) -> list[Decision]:
    """Return one decision for each layer that runs in float on the host."""
    return [Decision(step.name, "runs on the host", step.host) for step in steps if not step.integer]
