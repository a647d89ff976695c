"""What a canonicalization rule may ask and add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slimai.graph.ir import Array, Graph, Node, TensorInfo


class Context:
    """Shapes and constants of the graph under rewriting, and the constants and tensors that rules add."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = {}
        self.tensors: dict[str, TensorInfo] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor at batch 1, of one that a rule has added too."""
        if name in self.constants:
            return tuple(self.constants[name].shape)
        return self.tensors[name].shape if name in self.tensors else self.graph.shape(name)

    def constant(self, node: Node, position: int) -> Array | None:
        """Return the constant at an input position, or None when it is absent or computed."""
        return self.graph.constant(node.inputs[position]) if has_input(node, position) else None

    def fixed(self, name: str) -> bool:
        """Return whether a tensor is a constant, or computed from constants alone (DequantizeLinear of weights ...)."""
        if name in self.graph.constants or name in self.constants:
            return True
        node = self.graph.producers.get(name)
        return node is not None and all(self.fixed(item) for item in node.inputs if item)

    def add_constant(self, name: str, value: Array) -> str:
        """Return the name of a new constant; a taken name gets a number."""
        name = self._free(name)
        self.constants[name] = value
        return name

    def add_tensor(self, name: str, shape: Sequence[int], dtype: str = "float32") -> str:
        """Return the name of a new activation; a taken name gets a number."""
        name = self._free(name)
        self.tensors[name] = TensorInfo(name, tuple(shape), dtype)
        return name

    def _free(self, name: str) -> str:
        base, number = name, 2
        while name in self.graph.tensors or name in self.constants or name in self.tensors:
            name, number = f"{base}_{number}", number + 1
        return name


def has_input(node: Node, position: int) -> bool:
    """Return whether an optional input is given."""
    return len(node.inputs) > position and node.inputs[position] != ""


def computed_input(context: Context, node: Node, position: int) -> bool:
    """Return whether an optional input is given but is no constant."""
    return has_input(node, position) and context.constant(node, position) is None


def only(node: Node, count: int, op: str = "", /, **attrs: Any) -> Node:
    """Return the node (as `op`) with its first `count` inputs, without absent ones at the end, and these attributes."""
    inputs = list(node.inputs[:count])
    while inputs and inputs[-1] == "":
        inputs.pop()
    return Node(node.name, op or node.op, tuple(inputs), node.outputs[:1], attrs)


def positive_axis(axis: int, rank: int) -> int:
    """Return the axis counted from 0."""
    return int(axis) + rank if axis < 0 else int(axis)


def integers(value: Any) -> tuple[int, ...]:
    """Return the elements of an ONNX list or 1-D constant as Python integers."""
    return tuple(int(item) for item in (value.reshape(-1) if hasattr(value, "reshape") else value))


def same_as_reshape(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Reshape that stands for an operator which only renames or reinterprets its input."""
    return (only(node, 1, "Reshape", shape=context.shape(node.outputs[0])),)
