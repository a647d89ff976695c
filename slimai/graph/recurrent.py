"""Which LSTM and GRU of ONNX have an integer kernel, and why another one has none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slimai.graph.ir import Array, Graph, Node

RECURRENT = ("LSTM", "GRU")
W, R, B, LENGTHS, H, C, PEEPHOLES = range(1, 8)  # input positions of ONNX
_FUNCTIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
GATES = {"LSTM": 4, "GRU": 3}


class Sizes(NamedTuple):
    """Sizes of a recurrent node in its ONNX form."""

    steps: int
    batch: int
    directions: int
    units: int


def constant_of(graph: Graph, node: Node, position: int) -> Array | None:
    """Return the constant at an input position, or None."""
    name = input_name(node, position)
    return graph.constants.get(name) if name else None


def input_name(node: Node, position: int) -> str:
    """Return the input at a position, '' where it is absent."""
    return node.inputs[position] if len(node.inputs) > position else ""


def sizes_of(graph: Graph, node: Node) -> Sizes:
    """Return the sizes of a node in its ONNX form, steps first (`slimai.graph.steps_first`)."""
    steps, batch, _ = graph.shape(node.inputs[0])
    directions, _, units = graph.shape(node.inputs[R])
    return Sizes(steps, batch, directions, units)


def no_kernel_reason(graph: Graph, node: Node) -> str:
    """Return why an LSTM or GRU in its ONNX form has no integer kernel, or ''."""
    op = node.op.removeprefix("Onnx")
    return _constant_reason(graph, node, op) or _form_reason(graph, node, op) or _length_reason(graph, node, op)


def _constant_reason(graph: Graph, node: Node, op: str) -> str:
    for position, what in ((W, "weights"), (R, "recurrent weights"), (B, "biases")):
        name = input_name(node, position)
        if name and name not in graph.constants:
            return f"the {what} of this {op} are computed, not constant"
        if name and graph.constants[name].dtype != np.float32:
            return f"the {what} of this {op} are {graph.constants[name].dtype.name}, not float32"
    return f"the input of this {op} is a constant" if node.inputs[0] in graph.constants else ""


def _form_reason(graph: Graph, node: Node, op: str) -> str:
    given = tuple(str(item).lower() for item in node.attrs.get("activations", ()))
    peepholes = constant_of(graph, node, PEEPHOLES)
    forms = {
        f"the functions {', '.join(given)}": given and given != _FUNCTIONS[op] * sizes_of(graph, node).directions,
        "clip": "clip" in node.attrs,
        "input_forget": node.attrs.get("input_forget", 0),
        "peepholes": input_name(node, PEEPHOLES) and (peepholes is None or peepholes.any()),
    }
    return next((f"{op} with {form} has no integer kernel" for form, there in forms.items() if there), "")


def _length_reason(graph: Graph, node: Node, op: str) -> str:
    if not input_name(node, LENGTHS):
        return ""
    lengths, only = constant_of(graph, node, LENGTHS), "only full sequences have an integer kernel"
    if lengths is None:
        return f"the sequence_lens of this {op} are computed; {only}"
    full = bool((lengths == sizes_of(graph, node).steps).all())
    return "" if full else f"the sequence_lens of this {op} are shorter than its input; {only}"
