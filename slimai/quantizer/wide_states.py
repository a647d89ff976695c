"""What is computed from the step before runs in 16 bits: its rounding comes back with every step.

Two kinds of layers are such: an LSTM or GRU, and layers between a state and the output that it takes over, where one
of them computes (a cell that is spelled out). A state that is only moved, as a ring buffer of a streaming convolution,
keeps its 8 bits: it is handed on as it is.

8-bit states and gates cost 2 to 4 dB beside a float operator between quantized tensors, most of it by the hidden values
that go back and by the input (docs/accuracy.md). So what writes such layers' inputs writes 16 bits, and what reads
their results reads 16: through moves and clamps, up to the next layer that computes. Weights have 8 bits.

What such a network works on, sound mostly, has few loud values and many quiet ones, which count as much. So in it any
other tensor runs in 16 bits too where the ratio of signal to rounding noise of its whole calibrated range at 8 bits is
below `LEAST_DB` (`slimai.quantizer.wide_sums`): of DTLN's network 2, 8-bit tensors leave 20 dB, those below 33 dB
raised 23, below 38 dB 25.5, all raised 25.5.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from slimai.calibration.statistics import Statistics
from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import Scheme
from slimai.quantizer.plan import Decision
from slimai.quantizer.recurrent import is_recurrent
from slimai.quantizer.wide_sums import decibels_at_8_bits

LEAST_DB = 38.0
OPERATOR = "its hidden values are fed back at every step"
CELL = "it computes the state that the next step begins with"
_PASSED = ("move", "clamp")


@dataclass(frozen=True)
class WideStates:
    """datatypes: node name -> (bits read, bits written). decisions: one a layer that computes a state."""

    datatypes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


def wide_states(
    graph: Graph, stats: Statistics, scheme: Scheme, steps: Sequence[Step], given: Collection[str] = ()
) -> WideStates:
    """Return what of the layers `steps` runs wider than the level's own bits; nothing where it has no wider types.

    given: layers whose width rules of mixed precision say; they begin nothing.
    """
    wide = scheme.raised_bits
    if wide is None:
        return WideStates()
    integer = [step for step in steps if step.integer]
    operators = [step.name for step in integer if is_recurrent(step) and step.name not in given]
    cells = [name for name in fed_back(graph, integer) if name not in given]
    if not operators and not cells:
        return WideStates()
    walk, lost = _Walk(integer, {*operators, *cells}), _lost(stats, integer)
    own, datatypes = scheme.bits, {}
    for step in integer:
        reads = step.name in walk.reading or not lost.keys().isdisjoint(step.inputs)
        writes = step.name in walk.writing or not lost.keys().isdisjoint(step.outputs)
        if reads or writes:
            datatypes[step.name] = (wide if reads else own, wide if writes else own)
    why = f"its range at 8 bits leaves a signal of {{:.1f}} dB over rounding; networks with states need {LEAST_DB:g}"
    told = dict.fromkeys(cells, CELL) | dict.fromkeys(operators, OPERATOR)
    told |= {name: why.format(value) for name, value in lost.items()}
    return WideStates(datatypes, tuple(Decision(name, f"runs in {wide} bits", why) for name, why in told.items()))


def _lost(stats: Statistics, steps: Sequence[Step]) -> dict[str, float]:
    """Return the tensors of the layers that 8 bits hold too coarsely, and what signal over rounding they leave."""
    names = dict.fromkeys(name for step in steps for name in (*step.inputs, *step.outputs) if name in stats)
    found = {name: decibels_at_8_bits(stats[name]) for name in names}
    return {name: value for name, value in found.items() if value < LEAST_DB}


def fed_back(graph: Graph, steps: Sequence[Step]) -> list[str]:
    """Return the layers between a state and what it takes over, in order, of states that a layer computes anew."""
    outputs = {state: output for state, output in graph.states.items() if state in graph.tensors}
    ahead = {state: _reached(steps, {state}) for state in outputs}
    behind = {state: _reached(tuple(reversed(steps)), {output}, backwards=True) for state, output in outputs.items()}
    between = {(a, b): ahead[a] & behind[b] for a in outputs for b in outputs}
    found: set[str] = set()
    for state in outputs:
        ring = _ring(state, outputs, between)
        names = set().union(*(between[a, b] for a in ring for b in ring)) if ring else set()
        if any(step.name in names and TRAITS[step.node.op].family != "move" for step in steps):
            found |= names
    return [step.name for step in steps if step.name in found]


def _ring(state: str, states: Collection[str], between: Mapping[tuple[str, str], set[str]]) -> list[str]:
    """Return the states that `state` depends on and that depend on it, over any number of steps."""

    def over(reversed_: bool) -> set[str]:
        known: set[str] = set()
        waiting = [state]
        while waiting:
            here = waiting.pop()
            further = {b for b in states if between[(b, here) if reversed_ else (here, b)]} - known
            known |= further
            waiting += further
        return known

    return sorted(over(reversed_=False) & over(reversed_=True))


def _reached(steps: Sequence[Step], tensors: set[str], *, backwards: bool = False) -> set[str]:
    """Return the names of the steps that `tensors` reach."""
    known, found = set(tensors), set()
    for step in steps:
        near, far = (step.outputs, step.inputs) if backwards else (step.inputs, step.outputs)
        if known.intersection(near):
            known.update(far)
            found.add(step.name)
    return found


class _Walk:
    """Collects the layers that read 16 bits, and those that write them."""

    def __init__(self, steps: Sequence[Step], inside: set[str]) -> None:
        self.writers = {name: step for step in steps for name in step.outputs}
        self.readers: dict[str, list[Step]] = {}
        for step in steps:
            for name in step.inputs:
                self.readers.setdefault(name, []).append(step)
        self.reading, self.writing = set(inside), set(inside)
        for step in (item for item in steps if item.name in inside):
            for name in step.inputs:
                self._before(name, inside)
            for name in step.outputs:
                self._after(name, inside)

    def _before(self, tensor: str, inside: set[str]) -> None:
        """Let what gives a tensor write 16 bits; a linear layer in front reads them too."""
        writer = self.writers.get(tensor)
        if writer is None or writer.name in self.writing:
            return
        self.writing.add(writer.name)
        family = TRAITS[writer.node.op].family
        if family in (*_PASSED, "matrix", "arithmetic"):
            self.reading.add(writer.name)
        if family in _PASSED or family == "arithmetic":
            for name in writer.inputs:
                self._before(name, inside)
        elif family == "matrix":
            for name in writer.inputs:
                self._source(name)

    def _source(self, tensor: str) -> None:
        """Let what gives the input of a linear layer write 16 bits, through moves."""
        writer = self.writers.get(tensor)
        if writer is None or writer.name in self.writing:
            return
        self.writing.add(writer.name)
        if TRAITS[writer.node.op].family in _PASSED:
            self.reading.add(writer.name)
            for name in writer.inputs:
                self._source(name)

    def _after(self, tensor: str, inside: set[str]) -> None:
        """Let what reads a tensor read 16 bits, through moves and clamps."""
        for step in self.readers.get(tensor, ()):
            if step.name in inside:
                continue
            self.reading.add(step.name)
            if TRAITS[step.node.op].family in _PASSED and step.name not in self.writing:
                self.writing.add(step.name)
                for name in step.outputs:
                    self._after(name, inside)
