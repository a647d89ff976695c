"""Cutting a part out of a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from slimai.graph.batch import with_batch
from slimai.graph.ir import Graph, Node


def subgraph(graph: Graph, nodes: Iterable[Node | str], *, name: str | None = None) -> Graph:
    """Return the graph of these nodes alone, in graph order.

    Its inputs are the activations that the nodes read from outside, in order of first use; its outputs
    are what others read, what the whole network gives, or nobody reads.
    """
    chosen = {item if isinstance(item, str) else item.name for item in nodes}
    kept = tuple(node for node in graph.nodes if node.name in chosen)
    made = {item for node in kept for item in node.outputs if item}
    read = dict.fromkeys(item for node in kept for item in node.inputs if item)
    inputs = tuple(item for item in read if item not in made and item not in graph.constants)
    part = replace(graph, name=name or graph.name, nodes=kept, inputs=inputs, outputs=_outputs(graph, kept, chosen))
    part = replace(part, states={}, sequences=())
    return with_batch(part.edited(kept))


def _outputs(graph: Graph, kept: tuple[Node, ...], chosen: set[str]) -> tuple[str, ...]:
    found = []
    for node in kept:
        for name in filter(None, node.outputs):
            readers = graph.consumers.get(name, ())
            if name in graph.outputs or not readers or any(item.name not in chosen for item in readers):
                found.append(name)
    return tuple(found)
