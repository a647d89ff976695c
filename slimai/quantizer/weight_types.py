"""Which layers have weights of another type than their level's: 4 bits, or what a mixed-precision rule says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import Step
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import S4, S8, IntType
from slimai.quantizer.plan import Decision

FIRST = "no layer with weights before it"
LAST = "no layer with weights behind it"
STACKED = "its matrices are stacked, and have one scale for all of them"
WIDE = "it reads 16 bits, beside which there are no weights of 4"


@dataclass(frozen=True)
class WeightTypes:
    """types: node name -> the type of its weights, where that is not the level's. decisions: what was left, and why."""

    types: Mapping[str, IntType] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


def has_typed_weights(graph: Graph, step: Step) -> bool:
    """Return whether a rule can give the layer's weights a type: a matrix operator in integers, constant weights."""
    return step.integer and TRAITS[step.node.op].family == "matrix" and _has_weights(graph, step.node)


def is_stacked(graph: Graph, step: Step) -> bool:
    """Return whether the layer multiplies by several matrices, which have one weight scale."""
    return step.node.op == "MatMul" and len(graph.shape(step.node.inputs[1])) > 2


def _has_weights(graph: Graph, node: Node) -> bool:
    """Return whether a node, of the host or not, multiplies by constant matrices."""
    traits = TRAITS.get(node.op)
    if traits is None:
        return False
    if traits.family == "recurrent":
        return True
    return traits.family == "matrix" and traits.weight is not None and node.inputs[traits.weight] in graph.constants


def four_bit_layers(graph: Graph, steps: Sequence[Step]) -> dict[str, str]:
    """Return node name -> why its weights stay at 8 bits under `weight_bits: 4`, or an empty string, in graph order.

    They stay in the first and the last layers with weights of every path through the network. A recurrent layer counts
    as one with weights; its own are no weights of a matrix operator.
    """
    before = _reached(graph, steps)
    behind = _reached(graph, tuple(reversed(steps)), backwards=True)
    reasons = {}
    for step in steps:
        if has_typed_weights(graph, step):
            first = not any(name in before for name in step.inputs)
            last = not any(name in behind for name in step.outputs)
            reasons[step.name] = STACKED if is_stacked(graph, step) else FIRST if first else LAST if last else ""
    return reasons


def _reached(graph: Graph, steps: Iterable[Step], *, backwards: bool = False) -> set[str]:
    """Return the activations with a layer with weights before them (behind them, `backwards`)."""
    found: set[str] = set()
    for step in steps:
        near, far = (step.outputs, step.inputs) if backwards else (step.inputs, step.outputs)
        if _has_weights(graph, step.node) or any(name in found for name in near):
            found.update(far)
    return found


def weight_types(
    graph: Graph, steps: Sequence[Step], options: QuantOptions, reads: Mapping[str, int], automatic: Iterable[str]
) -> WeightTypes:
    """Return the types of weights that differ from the level's.

    reads: node name -> bits that it reads. automatic: layers that no rule has given 16 bits; beside `weight_bits: 4`,
    or where a rule says s4, their weights take s8.
    """
    types: dict[str, IntType] = {}
    decisions: list[Decision] = []
    reasons = four_bit_layers(graph, steps)
    raised = {name for name in automatic if reads[name] > 8}
    for name, reason in reasons.items():
        wanted = options.weights.get(name)
        if wanted is None and options.weight_bits == 4:
            wanted, why = (S8, reason) if reason else (S4, "")
            if reads[name] > 8 and name not in raised:
                continue  # a rule has raised it, and says nothing of weights: as at 8 bits
            if why and name not in raised:
                decisions.append(Decision(name, "weights stay at 8 bits", why))
        if wanted is None:
            continue
        kept = WIDE if reads[name] > 8 else STACKED if reason == STACKED else ""
        if wanted == S4 and kept:
            wanted = S8
            decisions.append(Decision(name, "weights stay at 8 bits", kept))
        types[name] = wanted
    return WeightTypes(types, tuple(decisions))
