"""Refusing constants that are no numbers: the network would compute none, and no image were to blame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS

_SHOWN = 5


def refuse_not_finite(graph: Graph, where: str) -> None:
    """Raise InputError for NaN in a constant that an operator reads, and for infinity in weights and biases."""
    problems = list(_problems(graph, where))
    if problems:
        raise InputError(problems[:_SHOWN])


def _problems(graph: Graph, where: str) -> Iterator[Diagnostic]:
    seen: set[str] = set()
    for node in graph.nodes:
        for position, name in enumerate(node.inputs):
            value = graph.constants.get(name)
            if value is None or name in seen or value.dtype.kind != "f":
                continue
            wrong = ~np.isfinite(value) if _multiplied(node, position) else np.isnan(value)
            if wrong.any():
                seen.add(name)
                message = f"{int(wrong.sum())} of {value.size} values of this constant of '{node.name}' are no numbers"
                cure = "train or export the model again"
                yield Diagnostic(message, name, float(value[wrong].flat[0]), cure, where)


def _multiplied(node: Node, position: int) -> bool:
    """Return whether the constant is the weight or bias of a matrix operator: infinity times zero is no number."""
    traits = TRAITS.get(node.op) if not node.domain else None
    return traits is not None and traits.family == "matrix" and position in (traits.weight, traits.bias)
