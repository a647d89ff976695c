"""Which tensors share one scale.

An operator whose output integers are its input integers (MaxPool, Reshape, Slice ...) gives its output the
parameters of its input. A Concat gives its inputs those of its output where that costs nothing or little;
elsewhere the planner puts a Requantize on the edge, as in front of a Pad whose value lies outside of its input's range.
A state and the output that it takes over have one scale from step to step. A group takes the union of its members'
limits.

Sharing is free for an input that only the Concat reads: its values are rounded once, to the grid that they end
on anyway. An input with other readers is tied only while their grid gets at most `TOLERATED_RATIO` coarser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slimai.calibration.limits import Limits, union
from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import Scheme, activation_params, fixed_params, limits_of
from slimai.quantizer.plan import Decision
from slimai.quantizer.recurrent import is_recurrent, shared_grids

SENTINEL = 1e4  # a padding as large stands for "never", it is no value that a scale has to reach
TOLERATED_RATIO = 1.25  # 2 dB of the other readers' signal-to-noise ratio


@dataclass(frozen=True)
class TyingInput:
    """All that tying looks at.

    limits: by tensor, for each tensor that gets parameters. widths: bits by tensor. reads: bits that a step reads, by
    node name. fixed: tensors whose parameters are given (network inputs keep their range, Sigmoid its scale).
    """

    graph: Graph
    steps: tuple[Step, ...]
    limits: Mapping[str, Limits]
    widths: Mapping[str, int]
    reads: Mapping[str, int]
    fixed: frozenset[str]
    nonnegative: frozenset[str]
    scheme: Scheme


@dataclass
class Groups:
    """Disjoint sets of tensors; the representative is the one that was named first."""

    parent: dict[str, str]
    members: dict[str, list[str]]
    decisions: list[Decision] = field(default_factory=list)

    @classmethod
    def of(cls, tensors: Mapping[str, Limits]) -> Groups:
        """Return every tensor in a group of its own."""
        return cls({name: name for name in tensors}, {name: [name] for name in tensors})

    def find(self, tensor: str) -> str:
        """Return the representative of the group of `tensor`."""
        return self.parent[tensor]

    def join(self, head: str, other: str) -> None:
        """Put the group of `other` into that of `head`, whose representative stays."""
        first, second = self.parent[head], self.parent[other]
        if first == second:
            return
        for name in self.members[second]:
            self.parent[name] = first
        self.members[first] += self.members.pop(second)


def tie(given: TyingInput) -> Groups:
    """Return the groups of tensors that share parameters, with a decision for each Concat input left apart."""
    groups = Groups.of(given.limits)
    for step in given.steps:
        if is_recurrent(step):
            for head, other in shared_grids(given.graph, step):
                if given.widths[head] == given.widths[other]:
                    groups.join(head, other)
    for step in given.steps:
        if step.integer and TRAITS[step.node.op].scale == "same":
            _pass_on(given, groups, step)
    _join_states(given, groups)
    for step in reversed(given.steps):
        if step.integer and TRAITS[step.node.op].scale == "concat":
            for tensor in dict.fromkeys(step.inputs):
                _join_concat(given, groups, step, tensor)
    return groups


def _join_states(given: TyingInput, groups: Groups) -> None:
    """Give a state the parameters of its output, so that integers are handed on as they are."""
    for state, output in given.graph.states.items():
        if state in given.limits and output in given.limits and given.widths[state] == given.widths[output]:
            groups.join(output, state)


def _pass_on(given: TyingInput, groups: Groups, step: Step) -> None:
    source = step.inputs[0]
    if given.widths[source] != given.reads[step.name]:
        return
    reason = _apart_from_padding(given, groups, step)
    if reason:
        groups.decisions.append(Decision(step.name, f"Requantize on input {source}", reason))
        return
    for output in step.outputs:
        if given.widths[output] == given.widths[source]:
            groups.join(source, output)


def _apart_from_padding(given: TyingInput, groups: Groups, step: Step) -> str:
    """Return why the input of a Pad gets no grid that reaches the value around it, or ''."""
    attrs = step.node.attrs
    if step.node.op != "Pad" or attrs["mode"] != "constant" or abs(attrs["value"]) >= SENTINEL:
        return ""
    members = groups.members[groups.find(step.inputs[0])]
    for other in given.steps:
        if other.integer and TRAITS[other.node.op].scale == "fixed" and other.outputs[0] in members:
            params = fixed_params(given.scheme, other.node.op, given.widths[other.outputs[0]])
            low, high = limits_of(params)
            if not low - params.scale <= attrs["value"] <= high + params.scale:
                return f"its scale is fixed, and does not reach the padding {attrs['value']:g}"
    ratio = _step_size(given, [*members, step.outputs[0]]) / _step_size(given, members)
    if ratio > TOLERATED_RATIO and _read_elsewhere(given, members, step):
        return f"for the padding {attrs['value']:g} its other readers would get a grid {ratio:.3g} times coarser"
    return ""


def _join_concat(given: TyingInput, groups: Groups, step: Step, tensor: str) -> None:
    """Tie one input of a Concat to its output, or say why not."""
    output = step.outputs[0]
    if groups.find(tensor) == groups.find(output):
        return
    reason = _reason_apart(given, groups, step, tensor)
    if reason:
        groups.decisions.append(Decision(step.name, f"Requantize on input {tensor}", reason))
    else:
        groups.join(output, tensor)


def _reason_apart(given: TyingInput, groups: Groups, step: Step, tensor: str) -> str:
    output = step.outputs[0]
    members = groups.members[groups.find(tensor)]
    if any(name in given.fixed for name in members):
        return "its scale is fixed"
    if not given.widths[tensor] == given.widths[output] == given.reads[step.name]:
        return "another integer width"
    if not _read_elsewhere(given, members, step):
        return ""
    target = groups.members[groups.find(output)]
    finest = min(_step_size(given, members), _step_size(given, target))
    ratio = _step_size(given, [*target, *members]) / finest
    if ratio > TOLERATED_RATIO:
        return f"its other readers would get a grid {ratio:.3g} times coarser"
    return ""


def _read_elsewhere(given: TyingInput, members: list[str], step: Step) -> bool:
    """Return whether anything but `step` and the operators inside the group reads a member, or it is an output."""
    inside = set(members)
    for name in members:
        if name in given.graph.outputs:
            return True
        for reader in given.graph.consumers.get(name, ()):
            if reader.name != step.name and not inside.issuperset(reader.outputs):
                return True
    return False


def _step_size(given: TyingInput, members: list[str]) -> float:
    """Return the scale that a group of these tensors gets."""
    limits = union(given.limits[name] for name in members)
    nonnegative = all(name in given.nonnegative for name in members)
    bits = given.widths[members[0]]
    return activation_params(given.scheme, limits.low, limits.high, nonnegative=nonnegative, bits=bits).scale
