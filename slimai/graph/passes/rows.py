"""What a few nodes compute of a row: reductions over one set of axes, elements in between, however they are spelled.

Sums and means may keep their axes or drop them and get them back by a Reshape; the values are the same. A rewrite that
asks what the nodes make of rows finds every spelling of a normalization or a Softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.elementwise import FORMULAS, Values, has_formula
from slimai.graph.passes.expression import parts

LONGEST = 24  # nodes; LayerNormalization as JAX writes it has 17
REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "ReduceMean": np.mean, "ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min,
}  # fmt: skip

Operation = Callable[[Node, Sequence[Values], tuple[int, ...]], Values]


@dataclass(frozen=True)
class RowFunction:
    """`nodes`, in graph order, make of each row of `source` along `axes` one of the last output, by itself.

    other: formulas of operators that are neither reductions nor of one element.
    """

    graph: Graph
    source: str
    nodes: tuple[Node, ...]
    axes: tuple[int, ...]
    other: Mapping[str, Operation]

    def __call__(self, x: Values) -> Values:
        """Return the function's value of rows [N, ...], whose axes that are no part of a row have size 1."""
        known: dict[str, Values] = {self.source: x}
        with np.errstate(all="ignore"):
            for node in self.nodes:
                operands = [
                    known[name] if name in known else self.graph.constants[name].astype(np.float64)
                    for name in node.inputs
                    if name
                ]
                known[node.outputs[0]] = self._made(node, operands)
        return np.broadcast_to(known[self.nodes[-1].outputs[0]], x.shape)

    def _made(self, node: Node, operands: list[Values]) -> Values:
        if node.op in REDUCTIONS:
            found: Values = REDUCTIONS[node.op](operands[0], axis=self.axes, keepdims=True)
            return found
        if node.op == "Reshape":
            return operands[0]  # it only gives reduced axes back, which are kept here
        if node.op in self.other:
            return self.other[node.op](node, operands, self.axes)
        return FORMULAS[node.op](node.attrs, operands)


def row_functions(
    graph: Graph,
    last: Node,
    axes_of: Callable[[Node, int], tuple[int, ...] | None],
    other: Mapping[str, Operation] | None = None,
) -> Iterator[RowFunction]:
    """Yield what ends with the node and is a function of rows, the fewest nodes first.

    axes_of: of an operator in `other`, the axes that it runs over in a tensor of so many axes.
    """
    extra = {} if other is None else other
    for source, nodes in parts(graph, last, lambda _, node: _fits(graph, node, extra), LONGEST):
        rank = len(graph.shape(source))
        axes = _one_set(nodes, rank, axes_of)
        if axes and graph.shape(source) == graph.shape(last.outputs[0]) and _whole(graph, source, nodes, axes, extra):
            yield RowFunction(graph, source, nodes, axes, extra)


def _fits(graph: Graph, node: Node, other: Mapping[str, Operation]) -> bool:
    reads = [graph.tensors[name].dtype for name in node.inputs[:1] if name]
    if node.domain or len(node.outputs) != 1 or {*reads, graph.tensors[node.outputs[0]].dtype} != {"float32"}:
        return False
    if node.op == "Reshape":
        given, made = (_without_ones(graph.shape(name)) for name in (node.inputs[0], node.outputs[0]))
        return given == made
    if node.op in other:
        return all(name in graph.constants for name in node.inputs[1:] if name)
    if any(graph.tensors[name].dtype != "float32" for name in node.inputs if name):
        return False
    return has_formula(node) or node.op in REDUCTIONS


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _one_set(
    nodes: Sequence[Node], rank: int, axes_of: Callable[[Node, int], tuple[int, ...] | None]
) -> tuple[int, ...]:
    """Return the axes that all reductions run over, or none where there is none, they differ or hold the batch."""
    found = {tuple(node.attrs["axes"]) for node in nodes if node.op in REDUCTIONS}
    found |= {axes for node in nodes if (axes := axes_of(node, rank)) is not None}
    return () if len(found) != 1 or 0 in (axes := next(iter(found))) else axes


def _whole(
    graph: Graph, source: str, nodes: Sequence[Node], axes: tuple[int, ...], other: Mapping[str, Operation]
) -> bool:
    """Return whether each tensor is whole rows, or one number a row with or without the axes, and none is mixed up."""
    shape = graph.shape(source)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    dropped = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    for node in nodes:
        made = graph.shape(node.outputs[0])
        given = [graph.shape(name) for name in node.inputs if name and name not in graph.constants]
        constants = [graph.shape(name) for name in node.inputs if name in graph.constants]
        if node.op in REDUCTIONS:
            fits = given == [shape] and made in (kept, dropped)
        elif node.op == "Reshape":
            fits = given[0] in (kept, dropped) and made in (kept, dropped)
        elif node.op in other:
            fits = given == [shape] and made == shape
        elif made == dropped != shape:
            fits = set(given) == {dropped} and all(int(np.prod(size)) == 1 for size in constants)
        else:
            fits = made in (kept, shape) and set(given) <= {kept, shape} and _by_row(constants, axes, len(shape))
        if not fits:
            return False
    return True


def _by_row(constants: Sequence[Sequence[int]], axes: Sequence[int], rank: int) -> bool:
    """Return whether all constants are alike for every row."""
    return all(
        size == 1 or rank - len(shape) + place in axes for shape in constants for place, size in enumerate(shape)
    )
