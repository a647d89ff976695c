"""Recognise Softmax however it is spelled: exp(x - max x) / sum exp(x - max x), with or without the maximum."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.elementwise import Values
from slimai.graph.passes.rows import RowFunction, row_functions

_ROWS = 16
_EXACT = 1e-9  # of shares that add up to 1; float64 errs less
_WIDEST = 20.0  # of the rows compared: without the maximum float32 holds no exp beyond 88


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match the quotient (or the product with the reciprocal) at the end of a Softmax spelled out."""
    if node.op not in {"Div", "Mul"} or node.domain:
        return None
    every = [item for item in row_functions(graph, node, lambda _node, _rank: None) if _is_softmax(graph, item)]
    if not every:
        return None
    problems = [removable(graph, item.nodes[:-1], node) for item in every]
    possible = [item for item, problem in zip(every, problems, strict=True) if not problem]
    if not possible:
        return Refusal(problems[0] or "")
    found = possible[-1]  # the longest: what a row is moved by in front makes no difference
    spelled = ", ".join(dict.fromkeys(item.op for item in found.nodes))
    new = Node(node.name, "Softmax", (found.source,), node.outputs, {"axis": found.axes[0]})
    return Replacement((new,), tuple(item.name for item in found.nodes[:-1]), f"Softmax spelled with {spelled}")


def _is_softmax(graph: Graph, found: RowFunction) -> bool:
    if len(found.axes) != 1 or not {"Exp", "ReduceSum"} <= {item.op for item in found.nodes}:
        return False
    axis, shape = found.axes[0], graph.shape(found.source)
    row = tuple(size if place == axis else 1 for place, size in enumerate(shape))[1:]
    x = np.random.default_rng(0).normal(size=(_ROWS, *row)) * np.linspace(0.1, 6.0, _ROWS).reshape(-1, *(1,) * len(row))
    x = np.clip(x, -_WIDEST, _WIDEST) + np.linspace(-2.0, 2.0, _ROWS).reshape(-1, *(1,) * len(row))
    y = found(x)
    return shape[axis] > 1 and bool(np.isfinite(y).all()) and float(np.abs(y - _softmax(x, axis)).max()) <= _EXACT


def _softmax(x: Values, axis: int) -> Values:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    found: Values = powers / powers.sum(axis=axis, keepdims=True)
    return found


FUSE_SOFTMAX = Pass("fuse_softmax", match)
