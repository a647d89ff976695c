"""Networks that are stored in half or double precision, or that take pictures as bytes, as networks of float32.

float32 holds every float16 and bfloat16 value and every integer of 8 and 16 bits, so nothing is lost; float64 constants
beyond its range become its largest values. What a half-precision runtime would round or let overflow is not imitated:
the reference is the network that the weights describe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

OTHER_FLOATS = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
SMALL_INTEGERS = frozenset({TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16})
# attributes that name a type, over all operators
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision"})


def in_single_precision(model: onnx.ModelProto) -> tuple[str, ...]:
    """Make inputs of other float types float32, and all that is computed from them; return what was changed, told.

    Only a model that has such an input is changed. Inputs of small integers that only Casts to a float type read become
    float32 too: the Cast is then nothing.
    """
    constants = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants and item.type.HasField("tensor_type")]
    floats = [item for item in inputs if item.type.tensor_type.elem_type in OTHER_FLOATS]
    small = [item for item in inputs if item.type.tensor_type.elem_type in SMALL_INTEGERS and _only_cast(model, item)]
    told = tuple(f"input '{item.name}' taken as float32, not {_type_name(item)}" for item in (*floats, *small))
    for item in small:
        item.type.tensor_type.elem_type = TensorProto.FLOAT
    if floats:
        _convert(model)
    return told


def _only_cast(model: onnx.ModelProto, item: onnx.ValueInfoProto) -> bool:
    """Return whether the input has readers, all of them Casts to a float type of the main graph."""
    readers = [node for node in model.graph.node if item.name in node.input]
    inside = any(item.name in node.input for graph in _subgraphs(model.graph.node) for node in graph.node)
    floats = OTHER_FLOATS | {TensorProto.FLOAT}
    return bool(readers) and not inside and all(node.op_type == "Cast" and _target(node) in floats for node in readers)


def _target(node: onnx.NodeProto) -> int:
    return next((item.i for item in node.attribute if item.name == "to"), TensorProto.UNDEFINED)


def _type_name(item: onnx.ValueInfoProto) -> str:
    return str(TensorProto.DataType.Name(item.type.tensor_type.elem_type)).lower()


def _convert(model: onnx.ModelProto) -> None:
    graphs = [model.graph, *_subgraphs(model.graph.node)]
    for graph in graphs:
        for item in (*graph.input, *graph.output):
            _make_float(item.type)
        del graph.value_info[:]
        for tensor in graph.initializer:
            _make_single(tensor)
    for function in model.functions:
        graphs.extend(_subgraphs(function.node))
        del function.value_info[:]
    for node in (*(node for graph in graphs for node in graph.node), *(n for f in model.functions for n in f.node)):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _make_single(attribute.t)
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i in OTHER_FLOATS:
                attribute.i = TensorProto.FLOAT


def _subgraphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside of the nodes, at any depth."""
    for node in nodes:
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield graph
                yield from _subgraphs(graph.node)


def _make_float(kind: onnx.TypeProto) -> None:
    if kind.HasField("tensor_type") and kind.tensor_type.elem_type in OTHER_FLOATS:
        kind.tensor_type.elem_type = TensorProto.FLOAT


def _make_single(tensor: onnx.TensorProto) -> None:
    """Store a constant of another float type as float32; values beyond its range are its largest ones."""
    if tensor.data_type not in OTHER_FLOATS:
        return
    largest = np.finfo(np.float32).max
    values = numpy_helper.to_array(tensor).astype(np.float64)
    finite = np.where(np.isfinite(values), np.clip(values, -largest, largest), values)
    tensor.CopyFrom(numpy_helper.from_array(finite.astype(np.float32), tensor.name))
