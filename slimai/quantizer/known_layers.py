"""Layers that plans of one candidate share: where only limits or types of a few tensors change, few layers do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slimai.graph.ir import Node
from slimai.quantizer.layers import Step
from slimai.quantizer.planner import LayerBuilder, Made


@dataclass(frozen=True, eq=False)
class _Known:
    """A layer with what was adjusted, and all that it was made from beside its step."""

    step: Step
    given: tuple[Any, ...]
    made: Made


class KnownLayers:
    """The layers of the first plan that is built with it; later ones take those whose grids and types are the same.

    All of these plans are of one float network, its statistics, one target and one set of options: they may differ in
    `QuantOptions.limits` and `QuantOptions.datatypes` alone.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def layer(self, builder: LayerBuilder, step: Step, name: str) -> Made:
        """Return what `builder.layer` gives."""
        given = (name, *_given(builder, step))
        found = self._known.get(step.name)
        if found is not None and _same_step(found.step, step) and found.given == given:
            return found.made
        made = builder.layer(step, name)
        if found is None:
            self._known[step.name] = _Known(step, given, made)
        return made


def _same_step(mine: Step, theirs: Step) -> bool:
    """Return whether two steps are one."""
    return (
        _same_node(mine.node, theirs.node)
        and mine.activation is theirs.activation
        and (mine.inputs, mine.outputs, mine.kind, mine.host)
        == (theirs.inputs, theirs.outputs, theirs.kind, theirs.host)
    )


def _same_node(mine: Node, theirs: Node) -> bool:
    """Return whether two nodes are equal; their attributes, which may be arrays, are told apart by identity."""
    return mine is theirs or (mine.attrs is theirs.attrs and _names(mine) == _names(theirs))


def _names(node: Node) -> tuple[Any, ...]:
    return node.name, node.op, node.domain, node.inputs, node.outputs


def _given(builder: LayerBuilder, step: Step) -> tuple[Any, ...]:
    """Return what a layer is made from and limits or types can change: grids, weight types, cuts of constants."""
    network, given = builder.network, builder.given
    touched = dict.fromkeys((*step.inputs, *step.outputs, *step.node.inputs, *step.node.outputs))
    grids = tuple((name, network.params[name]) for name in touched if name in network.params)
    held = tuple(network.sources.get(name) for name in step.inputs)
    cuts = {bits: masks.reach[step.node.name] for bits, masks in given.masks.items() if step.node.name in masks.reach}
    return grids, held, cuts, given.weights.get(step.name), step.name in given.narrow
