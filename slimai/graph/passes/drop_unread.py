"""Drop operators whose outputs nobody reads."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match a node without readers."""
    read = any(name in graph.outputs or graph.consumers.get(name) for name in node.outputs if name)
    return None if read else Replacement((), (), "nobody reads its output")


DROP_UNREAD = Pass("drop_unread", match)
