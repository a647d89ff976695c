"""Shapes of every tensor, inferred operator by operator.

ONNX infers whole models at once, but its native code ends the process when an operator gives a negative
size and a later one computes with it (a pooling window larger than its input, then a Slice). Here each
result is looked at before the next operator sees it, and the message names the operator.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import checker, defs, helper, numpy_helper, shape_inference

from slimai.errors import InputError, UnsupportedError
from slimai.graph.limits import LARGEST_BYTES
from slimai.graph.optimize import first_line
from slimai.graph.pool_shape import pooled_sizes

_STEERING_ELEMENTS = 1024  # constants up to this size may steer shapes; larger ones are weights
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
_ERRORS = (shape_inference.InferenceError, checker.ValidationError, RuntimeError, ValueError)


def static_types(model: onnx.ModelProto, where: str) -> dict[str, onnx.TypeProto]:
    """Return tensor name -> type, following computed shapes through the whole model where that is needed."""
    types = inferred_types(model, where)
    if all(_static(types.get(name)) for node in model.graph.node for name in node.output if name):
        return types
    try:
        followed = shape_inference.infer_shapes(model, data_prop=True)
    except _ERRORS as error:
        raise InputError.at(where, f"shapes do not fit: {first_line(error)}") from error
    return inferred_types(followed, where)


def inferred_types(model: onnx.ModelProto, where: str) -> dict[str, onnx.TypeProto]:
    """Return tensor name -> type of all tensors whose type can be told, constants included.

    What the model itself says of a tensor is believed where inference says less.

    Raises:
        InputError: an operator gives a negative size, or its inputs do not fit.
        UnsupportedError: a tensor takes 2 GB or more.
    """
    graph = model.graph
    given = {item.name: item.type for item in (*graph.value_info, *graph.output)}
    types = {item.name: item.type for item in graph.input}
    data = {item.name: item for item in graph.initializer if prod(item.dims) <= _STEERING_ELEMENTS}
    types |= {item.name: helper.make_tensor_type_proto(item.data_type, list(item.dims)) for item in graph.initializer}
    for node in graph.node:
        found = _outputs(model, node, types, data, where)
        for name in filter(None, node.output):
            kind = _fuller(found.get(name), given.get(name))
            if kind is not None:
                _require_possible(kind, node, name, where)
                types[name] = kind
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            data[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Shape" and _static(types.get(node.input[0])):
            data[node.output[0]] = _shape_value(node, types[node.input[0]])
    return types


def _outputs(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    types: dict[str, onnx.TypeProto],
    data: dict[str, onnx.TensorProto],
    where: str,
) -> dict[str, onnx.TypeProto]:
    if any(name and name not in types for name in node.input):
        return {}
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = next((item.version for item in model.opset_import if item.domain in {node.domain, domain}), 1)
    if not defs.has(node.op_type, domain=domain, max_inclusive_version=version):
        return {}
    schema = defs.get_schema(node.op_type, max_inclusive_version=version, domain=domain)
    needed = {name: types[name] for name in node.input if name}
    values = {name: data[name] for name in needed if name in data}
    try:
        found: dict[str, onnx.TypeProto] = shape_inference.infer_node_outputs(
            schema, node, needed, values, opset_imports=list(model.opset_import), ir_version=model.ir_version
        )
    except _ERRORS as error:
        key = node.name or node.op_type
        raise InputError.at(where, f"{node.op_type} does not fit its inputs: {first_line(error)}", key=key) from error
    if node.op_type in _POOLS:
        _settle_pool(node, needed[node.input[0]], found)
    return found


def _settle_pool(node: onnx.NodeProto, source: onnx.TypeProto, found: dict[str, onnx.TypeProto]) -> None:
    """Correct the inferred shapes of a pool with ceil_mode."""
    attrs = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if not attrs.get("ceil_mode", 0) or not _static(source):
        return
    sizes = pooled_sizes([dim.dim_value for dim in source.tensor_type.shape.dim][2:], attrs)
    for kind in found.values():
        for dim, size in zip(list(kind.tensor_type.shape.dim)[2:], sizes, strict=True):
            dim.dim_value = size


def _shape_value(node: onnx.NodeProto, kind: onnx.TypeProto) -> onnx.TensorProto:
    sizes = [dim.dim_value for dim in kind.tensor_type.shape.dim]
    bounds = {item.name: item.i for item in node.attribute}
    return numpy_helper.from_array(np.array(sizes[bounds.get("start", 0) : bounds.get("end")], dtype=np.int64))


def _static(kind: onnx.TypeProto | None) -> bool:
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return False
    return all(dim.HasField("dim_value") for dim in kind.tensor_type.shape.dim)


def _fuller(inferred: onnx.TypeProto | None, given: onnx.TypeProto | None) -> onnx.TypeProto | None:
    if inferred is None or not inferred.WhichOneof("value") or (not _static(inferred) and _static(given)):
        return given or inferred
    return inferred


def _require_possible(kind: onnx.TypeProto, node: onnx.NodeProto, name: str, where: str) -> None:
    tensor = kind.tensor_type
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    if min(sizes, default=0) < 0:
        cure = "give a larger input shape, or export the model again"
        message = f"{node.op_type} gives a tensor of negative size"
        raise InputError.at(where, message, sizes, key=node.name or name, cure=cure)
    width = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).itemsize if tensor.elem_type else 1
    if prod(sizes) * width > LARGEST_BYTES:
        raise UnsupportedError.at(where, "a tensor of 2 GB or more is not supported", sizes, key=name)
