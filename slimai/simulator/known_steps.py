"""Compiled layers of one program that other programs take as they are."""

from __future__ import annotations

from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.program import IntegerStep, Program


class KnownSteps:
    """The compiled integer layers of a program, for programs of the same target, arithmetic and pool.

    Programs that share steps must not run at the same time.
    """

    def __init__(self, program: Program) -> None:
        self._plan = program.plan
        self._steps = {id(step.layer): step for step in program.steps if isinstance(step, IntegerStep)}

    def find(self, plan: QuantPlan, layer: Layer) -> IntegerStep | None:
        """Return the step of this very layer, where all grids and shapes around it are the same in `plan`."""
        step = self._steps.get(id(layer))
        if step is None:
            return None
        touched = {*layer.inputs, *layer.outputs, *layer.node.inputs, *layer.node.outputs}
        mine, theirs = self._plan, plan
        for name in touched:
            if mine.tensors.get(name) != theirs.tensors.get(name):
                return None
            if mine.graph.tensors.get(name) != theirs.graph.tensors.get(name):
                return None
        return step
