"""Recognise HardSigmoid: a sum clipped at 0 and scaled to end at 1."""

from __future__ import annotations

from functools import partial
from math import isclose
from typing import NamedTuple

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.elementwise import FORMULAS, Values
from slimai.graph.passes.expression import Expression, expressions, fused, same_function
from slimai.graph.passes.pattern import made_by, scalar, split_operands, unscaled

_NO_SUM = 1e-6
_CLAMPS = frozenset({"Clip", "Relu", "Min", "Max"})


class ClippedSum(NamedTuple):
    """clip(slope * source + offset, 0, top), and the nodes that compute it."""

    source: str
    slope: float
    offset: float
    top: float
    nodes: tuple[Node, ...]


def clipped_sum(graph: Graph, name: str) -> ClippedSum | None:
    """Return the parts of clip(slope * x + offset, 0, top), or None when `name` is something else."""
    clip = made_by(graph, name, "Clip")
    add = made_by(graph, clip.inputs[0], "Add") if clip is not None and clip.attrs["lo"] == 0.0 else None
    operands = split_operands(graph, add) if add is not None else None
    if clip is None or add is None or operands is None or (offset := scalar(graph, operands[1])) is None:
        return None
    source, slope, scaling = unscaled(graph, operands[0])
    if slope.size != 1:
        source, scaling, value = operands[0], (), 1.0
    else:
        value = slope.item()
    return ClippedSum(source, value, offset, clip.attrs["hi"], (*scaling[::-1], add, clip))


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match k * clip(a * x + b, 0, c) with k * c = 1, the same without k, and other spellings of its function."""
    return _with_its_constants(graph, node) or _by_its_function(graph, node)


def _by_its_function(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match clip(a * x + b, 0, 1) with b other than 0: without a sum it is a clamp of the layer before.

    A factor on x is in `a`: of the expressions that can be replaced the longest counts.
    """
    if node.op == "HardSigmoid":
        return None
    answer: Replacement | Refusal | None = None
    for found in expressions(graph, node):
        if len(found.nodes) < 3 or _CLAMPS.isdisjoint(item.op for item in found.nodes):
            continue
        attrs = _slope_and_offset(found)
        new = fused(graph, found, "HardSigmoid", attrs) if attrs is not None else None
        answer = new if answer is None or isinstance(new, Replacement) else answer
    return answer


def _slope_and_offset(function: Expression) -> dict[str, float] | None:
    low, high = (_crossing(function, value) for value in (0.25, 0.75))
    if high == low or not np.isfinite(high - low):
        return None
    alpha = 0.5 / (high - low)
    beta = 0.25 - alpha * low
    points = low + (high - low) * np.linspace(-8.0, 8.0, 257)
    wanted = partial(_hard_sigmoid, alpha, beta)
    same = abs(beta) > _NO_SUM and same_function(function, wanted, points) and same_function(function, wanted)
    return {"alpha": alpha, "beta": beta} if same else None


def _hard_sigmoid(alpha: float, beta: float, x: Values) -> Values:
    return FORMULAS["HardSigmoid"]({"alpha": alpha, "beta": beta}, [x])


def _crossing(function: Expression, value: float) -> float:
    """Return where a monotonic function takes the value, by halving [-1e4, 1e4]; nan where it does not."""
    low, high = -1e4, 1e4
    first, last = function(np.array([low, high])) - value
    if not first * last < 0:
        return float("nan")
    for _ in range(80):
        middle = (low + high) / 2
        if (function(np.array([middle]))[0] - value) * first > 0:
            low = middle
        else:
            high = middle
    return high


def _with_its_constants(graph: Graph, node: Node) -> Replacement | Refusal | None:
    name, factor, scaling = unscaled(graph, node.outputs[0])
    found = clipped_sum(graph, name)
    if found is None or factor.size != 1 or not isclose(factor.item() * found.top, 1.0, rel_tol=1e-6):
        return None
    if node not in (*scaling[:1], found.nodes[-1]) or (scaling and node.name != scaling[0].name):
        return None
    gone = [item for item in (*found.nodes, *scaling) if item.name != node.name]
    problem = removable(graph, gone, node)
    if problem:
        return Refusal(problem)
    attrs = {"alpha": factor.item() * found.slope, "beta": factor.item() * found.offset}
    new = Node(node.name, "HardSigmoid", (found.source,), node.outputs, attrs)
    return Replacement((new,), tuple(item.name for item in gone), "HardSigmoid spelled with Add, Clip and a factor")


FUSE_HARD_SIGMOID = Pass("fuse_hard_sigmoid", match)
