"""Values of small constants, whatever nodes they stand behind: what steers an operator before anything is folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from slimai.graph.optimize import evaluate, runtime_errors

Array = NDArray[Any]
_LARGEST = 64  # elements: one number an axis, and no more than that may a step on the way have
_MOST = 256  # nodes that are computed
# Their outputs have at most as many elements as their inputs together, or as the product of two of them.
_COMPUTED = frozenset(
    (
        *("Identity", "Cast", "Transpose", "DequantizeLinear", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Concat"),
        *("Slice", "Gather", "Add", "Sub", "Mul", "Div", "Floor", "Ceil"),
    )
)


class SmallConstants:
    """The small constants of a model: tensor name -> value, or None where it depends on an input or is large."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.made = {name: node for node in model.graph.node for name in node.output if name}
        self.known: dict[str, Array | None] = {
            item.name: numpy_helper.to_array(item) if np.prod(item.dims) <= _LARGEST else None
            for item in model.graph.initializer
        }
        self.left = _MOST

    def get(self, name: str) -> Array | None:
        """Return the value of a tensor."""
        waiting = [name]
        while waiting:
            at = waiting[-1]
            node = self.made.get(at)
            if at in self.known:
                waiting.pop()
                continue
            sources = [] if node is None else [item for item in node.input if item and item not in self.known]
            if node is None or not _plain(node) or len(waiting) > _MOST or set(sources) & set(waiting):
                self.known[at] = None
            elif sources:
                waiting.append(sources[0])
            else:
                self.known[at] = self._value(node, at)
        return self.known[name]

    def _value(self, node: onnx.NodeProto, name: str) -> Array | None:
        if node.op_type == "Constant":
            return _written(node)
        given = {item: self.known[item] for item in node.input if item}
        if self.left == 0 or not given or any(value is None for value in given.values()):
            return None
        self.left -= 1
        constants = [numpy_helper.from_array(value, item) for item, value in given.items() if value is not None]
        graph = helper.make_graph([node], "constant", [], [onnx.ValueInfoProto(name=name)], constants)
        opsets = self.model.opset_import
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.model.ir_version)
        try:
            (value,) = evaluate(model.SerializeToString(), {}, [name])
        except runtime_errors():
            return None
        return value if value.size <= _LARGEST else None


def _plain(node: onnx.NodeProto) -> bool:
    return node.domain in {"", "ai.onnx"} and (node.op_type == "Constant" or node.op_type in _COMPUTED)


def _written(node: onnx.NodeProto) -> Array | None:
    """Return the value of a Constant node, or None for a large one or none of numbers."""
    for item in node.attribute:
        if item.name == "value" and np.prod(item.t.dims) <= _LARGEST:
            return numpy_helper.to_array(item.t)
        if item.name in ("value_float", "value_floats"):
            return np.array(helper.get_attribute_value(item), np.float32)
        if item.name in ("value_int", "value_ints"):
            return np.array(helper.get_attribute_value(item), np.int64)
    return None
