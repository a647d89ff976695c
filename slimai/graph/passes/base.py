"""The contract of a graph pass: what must hold before, the rewrite, what holds after.

A pass is a value. Its `match` looks at one node and answers with a replacement, with a refusal that
carries the reason, or with None when the pattern is not there at all. The driver applies replacements
until none is left, and checks the graph after every pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slimai.graph.damage import at_node
from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.names import FreeNames, distinct


@dataclass(frozen=True)
class Replacement:
    """New nodes in the place of the matched node; the nodes named in `removed` go."""

    nodes: tuple[Node, ...]
    removed: tuple[str, ...]
    reason: str
    constants: Mapping[str, Array] = field(default_factory=dict)
    tensors: tuple[TensorInfo, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """The pattern is there, but the rewrite would not be exact; `reason` says why."""

    reason: str


@dataclass(frozen=True)
class Change:
    """One applied rewrite (or a refused one): pass, node, reason."""

    rule: str
    node: str
    reason: str
    applied: bool = True

    def __str__(self) -> str:
        """Return one line for logs and the report."""
        return f"{self.rule}: {self.node}: {self.reason}"


Match = Callable[[Graph, Node], Replacement | Refusal | None]


@dataclass(frozen=True)
class Pass:
    """One rewrite. `requires` names passes that must have run; `ensures` returns what is still wrong, or ''."""

    name: str
    match: Match
    requires: tuple[str, ...] = ()
    ensures: Callable[[Graph], str] = field(default=lambda _graph: "")


def run_pass(graph: Graph, rule: Pass) -> tuple[Graph, tuple[Change, ...]]:
    """Return the rewritten graph, and every change and refusal in graph order."""
    applied: list[Change] = []
    while True:
        graph, changes, refused = _sweep(graph, rule)
        applied.extend(changes)
        if not changes:
            break
    problem = broken(graph) or rule.ensures(graph)
    if problem:
        raise AssertionError(f"graph pass {rule.name}: {problem}")
    return graph, (*applied, *refused)


def _sweep(graph: Graph, rule: Pass) -> tuple[Graph, list[Change], list[Change]]:
    """Return the graph after one walk over its nodes, what was applied and what was refused."""
    applied, refused = [], []
    for name in [node.name for node in graph.nodes]:
        node = graph.by_name.get(name)
        with at_node(name, "node" if node is None else node.op):
            found = rule.match(graph, node) if node is not None else None
        if isinstance(found, Refusal):
            refused.append(Change(rule.name, name, found.reason, applied=False))
        elif found is not None and node is not None:
            applied.append(Change(rule.name, name, found.reason))
            graph = _apply(graph, node, found)
    return graph, applied, refused


def _apply(graph: Graph, node: Node, found: Replacement) -> Graph:
    found = _with_free_names(graph, found)
    gone = {*found.removed, node.name}
    nodes: list[Node] = []
    for item in graph.nodes:
        if item.name == node.name:
            nodes.extend(found.nodes)
        elif item.name not in gone:
            nodes.append(item)
    nodes = list(distinct(nodes, graph.by_name))
    if found.renamed:
        nodes = [_renamed(item, found.renamed) for item in nodes]
    return graph.edited(nodes, constants=found.constants, tensors=found.tensors)


def _with_free_names(graph: Graph, found: Replacement) -> Replacement:
    """Return the replacement; a constant or tensor of it whose name something else bears gets a number.

    What the replaced nodes compute keeps its name as a constant.
    """
    own = {name for name in found.constants if name in graph.producers}
    added = [name for name in (*found.constants, *(item.name for item in found.tensors)) if name not in own]
    names = FreeNames.of(graph)
    fresh = {name: free for name in added if (free := names.take(name)) != name}
    if not fresh:
        return found
    return replace(
        found,
        nodes=tuple(_renamed(item, fresh) for item in found.nodes),
        constants={fresh.get(name, name): value for name, value in found.constants.items()},
        tensors=tuple(replace(item, name=fresh.get(item.name, item.name)) for item in found.tensors),
    )


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    if names.keys().isdisjoint((*node.inputs, *node.outputs)):
        return node
    return replace(
        node,
        inputs=tuple(names.get(item, item) for item in node.inputs),
        outputs=tuple(names.get(item, item) for item in node.outputs),
    )


def run_passes(graph: Graph, passes: Sequence[Pass]) -> tuple[Graph, tuple[Change, ...]]:
    """Return the graph after all passes, and their changes; they are also in its `history` and `refusals`."""
    done: list[str] = []
    changes: list[Change] = []
    for rule in passes:
        missing = [name for name in rule.requires if name not in done]
        if missing:
            raise AssertionError(f"graph pass {rule.name} must run after {', '.join(missing)}")
        graph, found = run_pass(graph, rule)
        changes.extend(found)
        done.append(rule.name)
    history = (*graph.history, *(str(item) for item in changes if item.applied))
    refusals = (*graph.refusals, *(str(item) for item in changes if not item.applied))
    return replace(graph, history=history, refusals=refusals), tuple(changes)


def broken(graph: Graph) -> str:
    """Return what is wrong with the graph as data flow, or ''."""
    known = {*graph.inputs, *graph.constants, ""}
    names: set[str] = set()
    for node in graph.nodes:
        unknown = [name for name in node.inputs if name not in known]
        if unknown:
            return f"node {node.name} reads {unknown[0]} before it is computed"
        if node.name in names:
            return f"two nodes are named {node.name}"
        names.add(node.name)
        known.update(node.outputs)
    lost = [name for name in graph.outputs if name not in known]
    undescribed = sorted(name for name in known - {""} if name not in graph.tensors)
    return f"output {lost[0]} is not computed" if lost else f"{undescribed[0]} has no shape" if undescribed else ""


def removable(graph: Graph, nodes: Iterable[Node], last: Node) -> str:
    """Return '' when only `last` and the nodes among themselves read what `nodes` compute, else the reason."""
    inside = {node.name for node in nodes} | {last.name}
    for node in nodes:
        for name in node.outputs:
            if name in graph.outputs:
                return f"'{name}' is an output of the network"
            readers = [item.name for item in graph.consumers.get(name, ()) if item.name not in inside]
            if readers:
                return f"'{name}' is also read by '{readers[0]}'"
    return ""
