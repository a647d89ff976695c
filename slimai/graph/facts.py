"""What follows from a graph alone is worked out once: candidates of a search ask for it again and again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from slimai.graph.ir import Graph

P = ParamSpec("P")
T = TypeVar("T")


def once_a_graph(find: Callable[Concatenate[Graph, P], T]) -> Callable[Concatenate[Graph, P], T]:
    """Return the function with its results kept beside the graph, which never changes; nobody may write into them.

    find: takes the graph and hashable arguments.
    """

    @wraps(find)
    def known(graph: Graph, /, *given: P.args, **named: P.kwargs) -> T:
        key: Hashable = (find.__module__, find.__qualname__, given, tuple(sorted(named.items())))
        facts: dict[Hashable, Any] = graph.facts
        if key not in facts:
            facts[key] = find(graph, *given, **named)
        found: T = facts[key]
        return found

    return known
