"""Scales, zero points and axes of QuantizeLinear and DequantizeLinear that no arithmetic could mean anything by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph, Node

OPERATORS = ("QuantizeLinear", "DequantizeLinear")


def require_sound_parameters(graph: Graph, where: str) -> None:
    """Raise InputError naming every node whose constant parameters are no parameters.

    A scale is finite and above 0; scales and zero points of a channel are as many as the axis is long; the axis exists.
    """
    problems = [
        Diagnostic(message, f"{node.op} '{node.name}'", value, file=where)
        for node in graph.nodes
        if node.op.rpartition(".")[2] in OPERATORS
        for message, value in _problems(graph, node)
    ]
    if problems:
        raise InputError(problems)


def _problems(graph: Graph, node: Node) -> Iterator[tuple[str, float | int]]:
    names = [*node.inputs, "", ""]
    scale, zero = graph.constants.get(names[1]), graph.constants.get(names[2])
    if scale is None or names[0] not in graph.tensors:
        return
    wrong = scale[~(np.isfinite(scale) & (scale > 0))]
    if wrong.size:
        yield "a scale should be finite and above 0", float(wrong.flat[0])
    if zero is not None and zero.size != scale.size:
        yield f"there should be as many zero points as scales ({scale.size})", zero.size
    shape, blocked = graph.shape(names[0]), bool(node.attrs.get("block_size", 0))
    if scale.size == 1 or blocked or scale.ndim > 1:
        return
    axis = int(node.attrs.get("axis", 1))
    if not -len(shape) <= axis < len(shape):
        yield f"the axis is not one of the {len(shape)} of the tensor", axis
    elif shape[axis] != scale.size:
        yield f"{scale.size} scales for an axis of {shape[axis]}", axis
