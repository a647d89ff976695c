"""Tensors without an element are constants: drop what computes them, and where they are joined to others."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.passes.base import Pass, Replacement


def match(graph: Graph, node: Node) -> Replacement | None:
    """Match a node that writes or joins empty tensors."""
    empty = [name for name in node.outputs if name and _is_empty(graph, name)]
    made = [name for name in node.outputs if name]
    if made and empty == made:
        return Replacement((), (), "its output has no element", constants=_constants(graph, empty))
    if node.domain:
        return None
    if node.op == "Split" and empty:
        kept = [place for place, name in enumerate(node.outputs) if name not in empty]
        sizes = tuple(node.attrs["split"][place] for place in kept)
        rest = replace(node, outputs=tuple(node.outputs[place] for place in kept)).with_attrs(split=sizes)
        return Replacement((rest,), (), "a part has no element", constants=_constants(graph, empty))
    if node.op == "Concat" and any(_is_empty(graph, name) for name in node.inputs):
        inputs = tuple(name for name in node.inputs if not _is_empty(graph, name))
        joined = replace(node, inputs=inputs) if len(inputs) > 1 else _same(graph, node, inputs[0])
        return Replacement((joined,), (), "an input has no element")
    return None


def _same(graph: Graph, node: Node, source: str) -> Node:
    return Node(node.name, "Reshape", (source,), node.outputs, {"shape": graph.shape(node.outputs[0])})


def _is_empty(graph: Graph, name: str) -> bool:
    return prod(graph.shape(name)) == 0


def _constants(graph: Graph, names: list[str]) -> dict[str, Array]:
    return {name: np.zeros(graph.shape(name), graph.tensors[name].dtype) for name in names}


FOLD_EMPTY = Pass("fold_empty", match)
