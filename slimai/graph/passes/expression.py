"""What a node computes of one tensor alone, element by element: the nodes between, and their function.

Exporters spell one function in many ways. A rewrite that asks for the function, not for the spelling, finds them all,
and a constant that differs makes another function. The functions compared are smooth or piecewise linear and become
linear away from 0, so that points up to 1000 and dense around 0 tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Refusal, Replacement, removable
from slimai.graph.passes.elementwise import FORMULAS, Values, has_formula

LARGEST = 16  # nodes of one function; the longest spelling known, GELU by tanh, has 9
# Relative to the larger of 1 and |x|. Constants of four digits and float32 roundings (1.4142 for a square root of 2)
# change less, other functions more: GELU with 0.0447 in the place of 0.044715 changes by 8e-6.
TOLERANCE = 4e-6
_FAR = np.array([14.0, 17.0, 20.0, 40.0, 80.0, 100.0, 1000.0])
_NEAR = np.array([1e-6, 1e-4, 1e-3, 1e-2])
POINTS: Values = np.concatenate([np.linspace(-12.0, 12.0, 481), _FAR, -_FAR, _NEAR, -_NEAR])
_OVERFLOW = 80.0  # beyond it exp(x) leaves float32, and a spelling with it is no longer what it means

Fits = Callable[[Graph, Node], bool]


@dataclass(frozen=True)
class Expression:
    """`nodes`, in graph order, compute the output of the last one from the tensor `source` and constants."""

    source: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Values]

    def __call__(self, x: Values) -> Values:
        """Return the function's value at each of the points."""
        known = {**self.constants, self.source: x}
        with np.errstate(all="ignore"):
            for node in self.nodes:
                known[node.outputs[0]] = FORMULAS[node.op](node.attrs, [known[name] for name in node.inputs if name])
        return np.broadcast_to(known[self.nodes[-1].outputs[0]], x.shape)

    @property
    def inner(self) -> tuple[Node, ...]:
        """All nodes but the last."""
        return self.nodes[:-1]


def expressions(graph: Graph, last: Node) -> Iterator[Expression]:
    """Yield every expression that ends with the node, the shortest first."""
    for source, nodes in parts(graph, last, _of_one_element):
        yield Expression(source, nodes, _scalars(graph, nodes))


def parts(graph: Graph, last: Node, fits: Fits, most: int = LARGEST) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """Yield (source, nodes): nodes that fit and compute the output of `last` from one tensor, the fewest first.

    most: of the nodes that are looked at.
    """
    order = _before(graph, last, fits, most)
    place = {node.outputs[0]: index for index, node in enumerate(order)}
    taken: set[int] = set()
    frontier = {last.outputs[0]}
    while inner := [place[name] for name in frontier if name in place]:
        index = max(inner)
        taken.add(index)
        frontier.discard(order[index].outputs[0])
        frontier.update(name for name in order[index].inputs if name and name not in graph.constants)
        if len(frontier) == 1:
            yield next(iter(frontier)), tuple(order[item] for item in sorted(taken))


def _scalars(graph: Graph, nodes: Iterable[Node]) -> dict[str, Values]:
    names = {name for node in nodes for name in node.inputs if name in graph.constants}
    return {name: graph.constants[name].astype(np.float64).reshape(()) for name in names}


def _before(graph: Graph, last: Node, fits: Fits, most: int) -> list[Node]:
    """Return `last` and the nearest nodes before it that fit, each behind what it reads."""
    near: dict[str, Node] = {}
    queue = [last]
    while queue and len(near) < most:
        node = queue.pop(0)
        if node.name in near or not fits(graph, node):
            continue
        near[node.name] = node
        queue.extend(graph.producers[name] for name in node.inputs if name in graph.producers)
    ordered: list[Node] = []
    done: set[str] = set()

    def visit(node: Node) -> None:
        if node.name in done or node.name not in near:
            return
        done.add(node.name)
        for name in node.inputs:
            if name in graph.producers:
                visit(graph.producers[name])
        ordered.append(node)

    visit(last)
    return ordered


def _of_one_element(graph: Graph, node: Node) -> bool:
    if not has_formula(node) or len(node.outputs) != 1 or graph.tensors[node.outputs[0]].dtype != "float32":
        return False
    shape = graph.shape(node.outputs[0])
    constants = [graph.constants[name] for name in node.inputs if name in graph.constants]
    read = [name for name in node.inputs if name and name not in graph.constants]
    alone = all(value.size == 1 and value.dtype == np.float32 for value in constants)
    return alone and bool(read) and all(graph.shape(name) == shape for name in read)


def same_function(one: Callable[[Values], Values], other: Callable[[Values], Values], points: Values = POINTS) -> bool:
    """Return whether two functions agree within `TOLERANCE` at all points."""
    found, wanted = one(points), other(points)
    meant = np.isfinite(found) | (np.abs(points) <= _OVERFLOW)
    gap = np.abs(found - wanted)[meant] / np.maximum(1.0, np.abs(points[meant]))
    return bool((gap <= TOLERANCE).all())


def fused(graph: Graph, found: Expression, op: str, attrs: Mapping[str, object] | None = None) -> Replacement | Refusal:
    """Return the operator `op` of the source in the place of the expression."""
    last = found.nodes[-1]
    problem = removable(graph, found.inner, last)
    if problem:
        return Refusal(problem)
    spelled = ", ".join(dict.fromkeys(node.op for node in found.inner))
    new = Node(last.name, op, (found.source,), last.outputs, dict(attrs or {}))
    return Replacement((new,), tuple(node.name for node in found.inner), f"{op} spelled with {spelled}")


def recognized(
    graph: Graph, node: Node, squashing: frozenset[str], meant: Mapping[str, Callable[[Values], Values]]
) -> tuple[Expression, str] | None:
    """Return the shortest expression of two nodes or more that ends here and is one of the functions, and its name.

    squashing: operators of which the expression has at least one; it spares the others the comparison.
    """
    for found in expressions(graph, node):
        if len(found.nodes) < 2 or squashing.isdisjoint(item.op for item in found.nodes):
            continue
        for name, function in meant.items():
            if same_function(found, function):
                return found, name
    return None
