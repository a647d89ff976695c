"""GroupNormalization spelled as PyTorch exports it: InstanceNormalization between two Reshapes, then Mul and Add.

ONNX Runtime has no kernel of GroupNormalization: it would spell it out in operators whose shapes are computed. Operator
sets 18 to 20 are refused before, as ONNX withdrew their definition (gain and bias a group).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from slimai.graph.infer import inferred_types


def with_spelled_groups(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model without GroupNormalization, where the shapes of those are known; others are left."""
    graph = model.graph
    if not any(_is_group(node) for node in graph.node):
        return model
    types = inferred_types(model, where)
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {item.name for item in (*graph.initializer, *graph.input)}
    made: list[onnx.NodeProto] = []
    for node in graph.node:
        kind = types.get(node.input[0]) if _is_group(node) else None
        dims = list(kind.tensor_type.shape.dim) if kind is not None else []
        if len(dims) < 3 or not all(dim.HasField("dim_value") for dim in dims):
            made.append(node)
            continue
        made.extend(_Spelled(graph, node, [dim.dim_value for dim in dims], taken).nodes())
    del graph.node[:]
    graph.node.extend(made)
    return model


def _is_group(node: onnx.NodeProto) -> bool:
    return node.op_type == "GroupNormalization" and node.domain in {"", "ai.onnx"}


class _Spelled:
    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto, shape: Sequence[int], taken: set[str]) -> None:
        self.graph, self.node, self.shape, self.taken = graph, node, list(shape), taken
        attrs = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        self.groups, self.epsilon = int(attrs["num_groups"]), float(attrs.get("epsilon", 1e-5))

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """Yield the operators."""
        (x, gain, bias), (y,) = self.node.input, self.node.output
        grouped, plain, back = (self._name(what) for what in ("grouped", "normalized", "ungrouped"))
        yield self._node("Reshape", [x, self._constant("groups", [self.shape[0], self.groups, -1])], grouped)
        own = [self._ones("one", 1.0), self._ones("zero", 0.0)]
        yield self._node("InstanceNormalization", [grouped, *own], plain, epsilon=self.epsilon)
        yield self._node("Reshape", [plain, self._constant("shape", self.shape)], back)
        column = self._constant("column", [-1, *(1,) * (len(self.shape) - 2)])
        columns = [self._name(what) for what in ("gain", "bias")]
        for source, target in zip((gain, bias), columns, strict=True):
            yield self._node("Reshape", [source, column], target)
        scaled = self._name("scaled")
        yield self._node("Mul", [back, columns[0]], scaled)
        yield self._node("Add", [scaled, columns[1]], y)

    def _node(self, op: str, inputs: list[str], output: str, **attrs: Any) -> onnx.NodeProto:
        name = self.node.name if output == self.node.output[0] else output
        return helper.make_node(op, inputs, [output], name=name, **attrs)

    def _name(self, what: str) -> str:
        name, number = f"{self.node.output[0]}_{what}", 2
        while name in self.taken:
            name, number = f"{self.node.output[0]}_{what}_{number}", number + 1
        self.taken.add(name)
        return name

    def _constant(self, what: str, values: list[int]) -> str:
        return self._stored(what, np.array(values, np.int64))

    def _ones(self, what: str, value: float) -> str:
        return self._stored(what, np.full(self.groups, value, np.float32))

    def _stored(self, what: str, values: np.ndarray) -> str:
        name = self._name(what)
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name
