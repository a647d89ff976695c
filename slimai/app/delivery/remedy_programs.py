"""The delivered network with a remedy applied: only layers that a remedy touches are planned and compiled again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimai.quantizer.planner import build_plan
from slimai.simulator.known_steps import KnownSteps
from slimai.simulator.program import compile_plan

if TYPE_CHECKING:
    from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
    from slimai.app.candidates.room import Room
    from slimai.quantizer.known_layers import KnownLayers
    from slimai.report.ranking import Remedy
    from slimai.simulator.program import Program


class RemedyPrograms:
    """Builds the program of a remedy, one at a time: none is kept here, and room is made before each.

    known: the layers that `item` was planned with; its program is the one that layers are taken from.
    """

    def __init__(self, quantizer: Quantizer, item: QuantizedCandidate, known: KnownLayers, room: Room) -> None:
        self._quantizer, self._item, self._known, self._room = quantizer, item, known, room
        aids = quantizer.aids(item.candidate)
        self._graph, self._stats = quantizer.networks.get(aids.rewrites)
        self._options = quantizer.options(item.candidate, aids)
        self._steps = KnownSteps(item.program)

    def __call__(self, remedy: Remedy) -> Program:
        """Return the delivered network with the limits and types of a remedy; as it is where there are none."""
        if not remedy.limits and not remedy.datatypes:
            return self._item.program
        self._room.make()
        quantizer, options = self._quantizer, self._options
        changed = replace(
            options,
            limits={**options.limits, **remedy.limits},
            datatypes={**options.datatypes, **remedy.datatypes},
        )
        target = quantizer.job.config.target
        plan = build_plan(self._graph, self._stats, changed, target, quantizer.store, self._known.layer)
        arithmetic, pool = quantizer.arithmetic(plan), quantizer.pool
        return compile_plan(plan, target, arithmetic=arithmetic, pool=pool, known=self._steps.find)
