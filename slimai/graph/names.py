"""Profile names ``<Kind>_<node>__<k>:<i>``: stable, readable names of tensors for profiles and reports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from slimai.graph.ir import Graph, Node

_OTHER = re.compile(r"[^A-Za-z0-9_.-]")


class FreeNames:
    """Hands out names that nothing bears yet: the wanted one, or with a number from 2 where it is taken."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    @classmethod
    def of(cls, graph: Graph) -> FreeNames:
        """Return names beside all tensors and nodes of a graph."""
        return cls((*graph.tensors, *graph.constants, *graph.by_name))

    def take(self, wanted: str) -> str:
        """Return the name, which is taken from now on."""
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def distinct(nodes: Iterable[Node], old: Iterable[str]) -> Iterator[Node]:
    """Yield the nodes; a new one whose name another bears gets a number. old: names of nodes that were there before."""
    kept, seen = set(old), set[str]()
    names = FreeNames(kept)
    for node in nodes:
        fresh = node.name not in kept or node.name in seen
        seen.add(node.name)
        yield replace(node, name=names.take(node.name)) if fresh else node


def sanitized(text: str) -> str:
    """Return the text with every character outside [A-Za-z0-9_.-] as '_'."""
    return _OTHER.sub("_", text)


def profile_names(graph: Graph, kinds: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return activation tensor -> profile name, in graph order.

    Kind is the operator, or what `kinds` (node name -> kind) says; graph inputs have the kind Input. The
    node is its ONNX name, or its first output's name when it has none. k counts from 1 among equal (kind,
    node) pairs in graph order, i is the output's index. The names depend on nothing but the graph.
    """
    bases = node_names(graph, kinds)
    seen: Counter[str] = Counter()
    found = {name: f"{_numbered(f'Input_{sanitized(name)}', seen)}:0" for name in graph.inputs}
    for node in graph.nodes:
        found |= {name: f"{bases[node.name]}:{place}" for place, name in enumerate(node.outputs) if name}
    return found


def node_names(graph: Graph, kinds: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return node name -> ``<Kind>_<node>__<k>``, in graph order."""
    seen: Counter[str] = Counter()
    given = kinds or {}
    return {
        node.name: _numbered(f"{sanitized(given.get(node.name, node.op))}_{sanitized(node.name)}", seen)
        for node in graph.nodes
    }


def _numbered(base: str, seen: Counter[str]) -> str:
    seen[base] += 1
    return f"{base}__{seen[base]}"
