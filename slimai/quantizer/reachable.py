"""Output scales that integers can reach: a layer's result is not much finer than what it reads.

Two floors: the target's largest multiplier; and, where calibration saw nothing but zeros in the input's own integers (a
Sigmoid far below 0, whose scale is fixed), the input's scale, as the last bit of the input is not known.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.ops import TRAITS
from slimai.graph.sentinels import sentinel_tensors
from slimai.quantizer.assign import Assignment
from slimai.quantizer.layers import Step
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import S8, IntType
from slimai.quantizer.plan import Decision
from slimai.quantizer.weight_layout import weight_layout
from slimai.quantizer.weight_store import WeightStore

# A finer output grid than this asks for a multiplier that a rule cannot hold: xi_sym has none of 2^16 or more, those
# with 15-bit multipliers and a right shift none of 2^15 or more; scales are rounded after.
LARGEST_MULTIPLIER = 2.0**14
# Families whose output is a sum, a choice or a multiple of the inputs: they bring one scale to another.
_RESCALED = frozenset({"matrix", "arithmetic", "clamp", "pool", "reduce", "move", "resize"})
_PRODUCTS = frozenset({"Mul", "Div"})
_LINEAR_FUNCTIONS = frozenset({"LeakyRelu", "PRelu"})


def weight_type(given: Assignment, options: QuantOptions, step: Step, bits: int) -> IntType:
    """Return the type of weights beside activations of `bits` bits: the scheme's, or s8 for 16x8."""
    own = given.scheme.at(bits).weights
    return S8 if bits > 8 and (options.level4_weights == "s8" or step.name in given.narrow) else own


def constant_weights(graph: Graph, node: Node) -> Array | None:
    """Return the constant weights of a matrix operator or the slopes of a PRelu, or None."""
    traits = TRAITS.get(node.op)
    if traits is None or traits.weight is None:
        return None
    return graph.constants.get(node.inputs[traits.weight])


def reachable_grids(given: Assignment, options: QuantOptions, store: WeightStore) -> list[Decision]:
    """Raise output scales to what the layers can reach, and say where."""
    decisions = []
    masked = sentinel_tensors(given.graph)  # what computes them chooses, and never brings a sentinel to a grid
    for step in given.steps:
        if not masked.keys().isdisjoint((*step.node.outputs, *step.outputs)):
            continue
        if not step.integer or TRAITS[step.node.op].scale not in ("free", "same", "concat"):
            continue
        finest, reason = _finest(given, step, options, store)
        for name in step.outputs:
            if name not in given.widths or (output := given.params(name)).scale >= finest:
                continue
            given.raise_scale(name, finest)
            if given.params(name).scale > output.scale:  # not where the scale is part of what computes it
                why = f"from {output.scale:.3g}: {reason}"
                decisions.append(Decision(step.name, f"output scale raised to {finest:.3g}", why))
    return decisions


def _finest(given: Assignment, step: Step, options: QuantOptions, store: WeightStore) -> tuple[float, str]:
    """Return the smallest scale of the layer's outputs, and what limits it."""
    dead = _unseen(given, step)
    if dead is not None:
        return dead, "its input had no other integer than 0 in calibration"
    traits = TRAITS[step.node.op]
    inner = None
    if traits.family in _RESCALED or step.node.op in _LINEAR_FUNCTIONS:
        inner = _inner_scale(given, step, options, store)
    return (inner or 0.0) / LARGEST_MULTIPLIER, "the target's largest multiplier could not reach it"


def _unseen(given: Assignment, step: Step) -> float | None:
    """Return the largest scale of a layer's activations where calibration saw less than half a step of each.

    None too where the output is larger than that, so does not come from them, or is a product or normalized.
    """
    if TRAITS[step.node.op].family in ("matrix", "normalization") or step.node.op in _PRODUCTS:
        return None
    bits, largest = given.reads[step.name], 0.0
    for name in step.inputs:
        scale, limits = given.params(name, bits).scale, given.group_limits(name, bits)
        if not 0 < max(-limits.low, limits.high) < scale / 2:
            return None
        largest = max(largest, scale)
    outputs = [given.group_limits(name, given.widths[name]) for name in step.outputs if name in given.widths]
    reach = max((max(-limits.low, limits.high) for limits in outputs), default=largest)
    return largest if reach < largest else None


def _inner_scale(given: Assignment, step: Step, options: QuantOptions, store: WeightStore) -> float | None:
    """Return the scale of what the layer sums up, before it is brought to the output's; None where it has none."""
    scales = list(_operand_scales(given, step, options, store))
    if TRAITS[step.node.op].family == "matrix" or step.node.op == "Mul":
        return float(np.prod(scales))
    return None if step.node.op == "Div" else max(scales, default=None)


def _operand_scales(given: Assignment, step: Step, options: QuantOptions, store: WeightStore) -> Iterator[float]:
    """Yield the scale of each input, of its weights the largest."""
    bits, traits = given.reads[step.name], TRAITS[step.node.op]
    for position, name in enumerate(step.node.inputs):
        value = given.graph.constants.get(name)
        if name in given.widths:
            yield given.params(name, bits).scale
        elif value is None or value.dtype.kind != "f":
            continue
        elif position == traits.weight and traits.family == "matrix":
            peaks = store.peaks(value, weight_layout(step.node, value.shape))
            yield float(peaks.max(initial=0.0)) / weight_type(given, options, step, bits).high
        elif traits.operands == "own":
            peak = float(np.abs(value).max(initial=0.0))
            yield peak / given.scheme.at(bits).type_of(nonnegative=False).high
