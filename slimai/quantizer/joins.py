"""Joins of unlike ranges at the end of a network: found by what 8 bits leave of each part, and run in 16.

Boxes of 0..640 pixels beside scores of 0..1 in one tensor share one scale: at 8 bits a step is 2.5, and every score is
0, although the tensor as a whole is hardly changed. So each part is judged by itself: the integers (steps) that its
values span on the 8-bit grid of the joined tensor, beside those that they spanned on the grid that they came from. A
part that falls below `FEW_STEPS` by being joined, to a quarter or less, is lost: the join and what moves or computes
behind it run in 16 bits up to the output. Parts that are not joins themselves keep 8 bits.

The extremes of the calibration images decide, whatever range or method a candidate has, so that all candidates of a
level have the same joins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slimai.calibration.statistics import Statistics, slice_extremes
from slimai.graph.ir import Graph
from slimai.graph.joins import end_nodes, joins_slices
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import LEVELS, Scheme, activation_params, fixed_params
from slimai.quantizer.plan import Decision

FEW_STEPS = 16.0  # integers that a part of a tensor has to span; 8 bits have 256
GAP = 4.0  # between slices that are lost and larger ones: what grows from cell to cell, as coordinates do, is one kind
SHARE_LEFT = 0.25  # of the integers that a part spanned before: a part that was small anyway is not lost by the join
JOIN = "join of unlike ranges"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UnlikeJoins:
    """What joins of unlike ranges ask for.

    datatypes: node name -> (bits read, bits written), of the joins, what follows them, and what else reads them.
    decisions: one a join.
    """

    datatypes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


def unlike_joins(
    graph: Graph, stats: Statistics, level: int, steps: Sequence[Step], nonnegative: frozenset[str]
) -> UnlikeJoins:
    """Return the joins of unlike ranges of a network at a level; none where its activations are as wide as a join.

    steps: the layers of `graph`. nonnegative: tensors that cannot be negative.
    """
    scheme = LEVELS[level]
    if scheme.join_bits <= scheme.bits:
        return UnlikeJoins()
    return _Finder(graph, stats, scheme, steps, nonnegative).find()


class _Finder:
    def __init__(
        self, graph: Graph, stats: Statistics, scheme: Scheme, steps: Sequence[Step], nonnegative: frozenset[str]
    ) -> None:
        self.graph, self.stats, self.scheme, self.steps = graph, stats, scheme, steps
        self.nonnegative = nonnegative
        self.maker = {name: step for step in steps if step.integer for name in step.outputs}
        self.wide: set[str] = set()

    def find(self) -> UnlikeJoins:
        """Follow the steps in order: a join that loses a part is wide, and so is all behind it up to the outputs."""
        own, wide = self.scheme.bits, self.scheme.join_bits
        end = {node.name for node in end_nodes(self.graph)}
        datatypes, decisions = {}, []
        for step in self.steps:
            if not step.integer:
                continue
            behind = bool(self.wide.intersection(step.inputs))
            if step.name not in end:
                if behind and TRAITS[step.node.op].family != "matrix":
                    datatypes[step.name] = (wide, own)
                continue
            kept = None if behind else self._lost(step)
            if behind or kept is not None:
                datatypes[step.name] = (wide, wide)
                self.wide.update(step.outputs)
            if kept is not None:
                decisions.append(self._told(step, kept))
        return UnlikeJoins(datatypes, tuple(decisions))

    def _told(self, step: Step, kept: float) -> Decision:
        wide = self.scheme.join_bits
        finer = self._step_of(step.outputs[0]) / self._step_of(step.outputs[0], wide)
        why = f"a {JOIN}: in {self.scheme.bits} bits a part of it would keep {kept:.2g} steps"
        if kept * finer < FEW_STEPS:
            why += f", and keeps {kept * finer:.2g} now: give it an output of its own to have more"
        return Decision(step.name, f"{wide} bits, up to the output", why)

    def _lost(self, step: Step) -> float | None:
        """Return how many steps the worst part that the step loses would keep, or None where it loses none."""
        if not all(name in self.stats for name in (*step.inputs, *step.outputs)):
            return None
        if step.node.op == "Concat":
            pairs = [self._parts(step)]
        elif joins_slices(self.graph, step.node):
            pairs = [self._slices(step, axis) for axis in self.stats[step.outputs[0]].slices]
        else:
            return None
        gap = 1.0 if step.node.op == "Concat" else GAP
        kept = [after[_is_lost(before, after)] for before, after in pairs if _apart(before, after, gap)]
        return min((float(found.min()) for found in kept if found.size), default=None)

    def _parts(self, step: Step) -> tuple[Floats, Floats]:
        """Return the steps that each operand of a Concat spans on its own grid, and on that of the output."""
        size = self._step_of(step.outputs[0])
        before, after = [], []
        for name in step.node.inputs:
            extremes = self._extremes(name)
            before.append(_span(extremes) / self._step_of(name))
            after.append(_span(extremes) / size)
        return np.array(before), np.array(after)

    def _slices(self, step: Step, axis: int) -> tuple[Floats, Floats]:
        """Return the steps that each slice spans in what an element-wise step or ScatterND reads, and in its output."""
        after = _span(self.stats[step.outputs[0]].slices[axis]) / self._step_of(step.outputs[0])
        if step.node.op == "ScatterND":
            return self._scattered(step, axis, after.size), after
        before = np.array([self._slices_of(name, axis, after.size) for name in step.inputs])
        least = step.node.op in ("Mul", "Div")  # a slice that one factor makes small is small
        return before.min(axis=0) if least else before.max(axis=0), after

    def _slices_of(self, tensor: str, axis: int, size: int) -> Floats:
        """Return the steps that each slice spans, on the tensor's own grid; all alike where they are not known."""
        constant = self.graph.constants.get(tensor)
        found = slice_extremes(constant, axis) if constant is not None else self.stats[tensor].slices.get(axis)
        if found is None or found.shape[1] != size:
            found = np.repeat(self._extremes(tensor)[:, None], size, axis=1)
        spans: Floats = _span(found) / self._step_of(tensor)
        return spans

    def _scattered(self, step: Step, axis: int, size: int) -> Floats:
        """Return the steps that the slices of a ScatterND span in its data, or in its updates where they come from."""
        data, updates = step.node.inputs
        attrs, shape = step.node.attrs, self.graph.shape(step.outputs[0])
        replaced = np.zeros(shape, bool)
        replaced[tuple(np.moveaxis(np.array(attrs["indices"], np.int64).reshape(attrs["shape"]), -1, 0))] = True
        whole = np.moveaxis(replaced, axis, 0).reshape(size, -1).all(axis=1)
        fresh = _span(self._extremes(updates)) / self._step_of(updates)
        return np.where(whole, fresh, self._slices_of(data, axis, size))

    def _extremes(self, tensor: str) -> Floats:
        """Return the smallest and the largest value, [2], of an activation or constant."""
        constant = self.graph.constants.get(tensor)
        if constant is not None:
            return np.array([constant.min(), constant.max()], np.float64)
        return np.array([self.stats[tensor].minimum, self.stats[tensor].maximum])

    def _step_of(self, tensor: str, bits: int = 0) -> float:
        """Return the scale of a tensor by itself, at `bits` or the level's: what it would have if it shared none."""
        bits = bits or self.scheme.bits
        maker = self.maker.get(tensor)
        while maker is not None and TRAITS[maker.node.op].scale == "same":
            tensor = maker.inputs[0]  # its integers are those of its input
            maker = self.maker.get(tensor)
        if maker is not None and TRAITS[maker.node.op].scale == "fixed":
            return fixed_params(self.scheme, maker.node.op, bits).scale
        low, high = self._extremes(tensor)
        sign = tensor in self.nonnegative
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        return activation_params(self.scheme, low, high, nonnegative=sign, bits=bits).scale


def _span(extremes: Floats) -> Floats:
    """Return how far values [2, ...] of smallest and largest reach, 0 among them."""
    return np.asarray(np.maximum(extremes[1], 0.0) - np.minimum(extremes[0], 0.0))


def _is_lost(before: Floats, after: Floats) -> NDArray[np.bool_]:
    """Return which parts a join leaves few steps, by the steps that they spanned before and span after it."""
    found: NDArray[np.bool_] = (after > 0) & (after < FEW_STEPS) & (after <= SHARE_LEFT * before)
    return found


def _apart(before: Floats, after: Floats, gap: float) -> bool:
    """Return whether the slices that are lost are of another kind than the others, by a gap between their sizes."""
    lost = _is_lost(before, after)
    if not lost.any():
        return False
    above = after[after > after[lost].max()]
    return bool(above.size and above.min() >= gap * after[lost].max())
