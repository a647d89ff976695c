"""Parameters of operators that shape inference does not compare with one another."""

from __future__ import annotations

from collections.abc import Iterator

from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph

_WITH_BIAS = ("Conv", "ConvTranspose")


def require_fitting_parameters(graph: Graph, where: str) -> None:
    """Raise InputError naming every convolution whose constant bias is not one number an output channel."""
    problems = list(_wrong_biases(graph, where))
    if problems:
        raise InputError(problems)


def _wrong_biases(graph: Graph, where: str) -> Iterator[Diagnostic]:
    for node in graph.nodes:
        if node.op not in _WITH_BIAS or len(node.inputs) < 3 or node.inputs[2] not in graph.constants:
            continue
        channels = graph.shape(node.outputs[0])[1]
        size = graph.constants[node.inputs[2]].size
        if size != channels:
            message = f"the bias should hold one number for each of {channels} output channels"
            yield Diagnostic(message, f"{node.op} '{node.name}'", size, "export the model again", where)
