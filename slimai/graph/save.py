"""The way from a `Graph` to an ONNX model: canonical operators in standard form, names unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper, version_converter

from slimai.errors import InputError
from slimai.graph.channels import channels_first
from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.lower import lower
from slimai.graph.optimize import first_line
from slimai.graph.subgraph import subgraph

__all__ = ["IR_VERSION", "make_model", "node_proto", "subgraph", "to_onnx"]

IR_VERSION = 8


def to_onnx(
    graph: Graph,
    *,
    extra_outputs: Iterable[str] = (),
    batch: int | Literal["N"] = 1,
    opset: int | None = None,
) -> onnx.ModelProto:
    """Return a standard ONNX model that computes what the graph computes.

    Args:
        graph: a canonical graph.
        extra_outputs: activations to give as outputs too, after the graph's own; duplicates are dropped.
        batch: size of axis 0 of inputs and outputs; 'N' leaves it open. Only a batchable graph takes another than 1.
        opset: operator set to write; default the one that the graph was loaded with.

    Raises:
        InputError: the batch is fixed to 1 by an operator, or the operators do not exist in `opset`.
    """
    if batch != 1 and not graph.batchable:
        raise InputError(f"network '{graph.name}' runs one image at a time: {graph.batch_note}")
    graph = channels_first(graph)
    extra = tuple(extra_outputs)
    found = lower(graph, batched=batch != 1, wanted=extra)
    read = {name for node in found.nodes for name in node.inputs} | set(graph.outputs)
    constants = {name: value for name, value in graph.constants.items() if name in read} | found.constants
    outputs = dict.fromkeys((*graph.outputs, *extra))
    model = make_model(
        graph.name,
        found.nodes,
        [value_info(graph.tensors[name], batch) for name in graph.inputs],
        [value_info(graph.tensors[name], batch) for name in outputs],
        constants,
        graph.opsets,
    )
    return model if opset in {None, graph.opsets[""]} else _converted(model, graph.name, opset)


def _converted(model: onnx.ModelProto, name: str, opset: Any) -> onnx.ModelProto:
    try:
        return version_converter.convert_version(model, opset)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise InputError(f"network '{name}' cannot be written in operator set {opset}: {first_line(error)}") from error


def make_model(
    name: str,
    nodes: Iterable[Node],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
    constants: Mapping[str, Array],
    opsets: Mapping[str, int],
    *,
    ir_version: int = IR_VERSION,
) -> onnx.ModelProto:
    """Return a checked ModelProto of ONNX-form nodes and constants."""
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), key)
        for key, value in constants.items()
    ]
    graph = helper.make_graph([node_proto(node) for node in nodes], name, list(inputs), list(outputs), tensors)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, producer_name="slimai", ir_version=ir_version)
    checker.check_model(model)
    return model


def node_proto(node: Node) -> onnx.NodeProto:
    """Return the NodeProto of a node in ONNX form."""
    proto = helper.make_node(node.op, list(node.inputs), list(node.outputs), name=node.name, domain=node.domain or None)
    for key, value in node.attrs.items():
        plain = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        if isinstance(value, tuple) and not value:
            proto.attribute.append(helper.make_attribute(key, [], attr_type=onnx.AttributeProto.INTS))
        else:
            proto.attribute.append(helper.make_attribute(key, plain))
    return proto


def value_info(tensor: TensorInfo, batch: int | Literal["N"] = 1) -> onnx.ValueInfoProto:
    """Return the ONNX description of a tensor with another batch size."""
    shape: list[int | str] = list(tensor.shape)
    if shape and batch != 1:
        shape[0] = batch
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, kind, shape)
