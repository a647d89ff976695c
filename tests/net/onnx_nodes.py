"""ONNX's own node tests as networks for slimai: one operator each, with the inputs that its authors chose.

Only float32 inputs are activations. What is a parameter (weights, slopes, limits, axes ...) becomes a constant, as an
exporter writes it: every input that is not float32, and for operators that do not take their operands alike all float
inputs but the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# operators whose float inputs are all activations
ALIKE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "MatMul", "Concat", "Where", "Einsum", "Mod"}
)
TENSORS = (np.ndarray, np.generic)


@dataclass(frozen=True)
class NodeCase:
    """name: of ONNX. model: with parameters as initializers. feeds: the activations."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]


def node_cases() -> Iterator[NodeCase]:
    """Yield the cases with at least one float32 input, all inputs and outputs of which are dense tensors."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ONNX's own reference code
        found = collect_testcases(None)
    for item in sorted(found, key=lambda case: case.name):
        case = _network(item)
        if case is not None:
            yield case


def _network(item) -> NodeCase | None:
    if item.model is None or not item.data_sets:
        return None
    inputs, outputs = item.data_sets[0]
    if not all(isinstance(value, TENSORS) for value in (*inputs, *outputs)):
        return None
    graph = item.model.graph
    kinds = [info.type.tensor_type.elem_type for info in graph.input]
    places = [place for place, kind in enumerate(kinds) if kind == TensorProto.FLOAT]
    if not places or len(inputs) != len(kinds):
        return None
    moving = places if all(node.op_type in ALIKE for node in graph.node) else places[:1]
    model = onnx.ModelProto()
    model.CopyFrom(item.model)
    names = [info.name for info in graph.input]
    del model.graph.input[:]
    model.graph.input.extend(graph.input[place] for place in moving)
    for place, (name, value) in enumerate(zip(names, inputs, strict=True)):
        if place not in moving:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return NodeCase(item.name, model, {names[place]: np.asarray(inputs[place], np.float32) for place in moving})
