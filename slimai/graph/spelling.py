"""One spelling of what ONNX files write in several ways: domain names, sparse constants, fused convolutions.

What the operators of domain com.microsoft mean: ONNX Runtime, `docs/ContribOperators.md`. Those that stay run on the
host; their shapes, which ONNX cannot infer, are those that ONNX Runtime finds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from slimai.errors import InputError
from slimai.graph.names import FreeNames
from slimai.graph.optimize import evaluate, first_line, runtime_errors

_STANDARD = ("", "ai.onnx")
_ALPHA = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}


def plainly_spelled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the default domain called "", dense constants, and FusedConv as Conv and activation."""
    for item in model.opset_import:
        item.domain = "" if item.domain == "ai.onnx" else item.domain
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        node.domain = "" if node.domain == "ai.onnx" else node.domain
    model.graph.initializer.extend(dense(item) for item in model.graph.sparse_initializer)
    del model.graph.sparse_initializer[:]
    nodes = [part for node in model.graph.node for part in _unfused(model, node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def dense(item: onnx.SparseTensorProto) -> onnx.TensorProto:
    """Return a sparse constant as a dense one: its indices count elements, or are one row an element."""
    values, places = numpy_helper.to_array(item.values), numpy_helper.to_array(item.indices)
    found: NDArray[np.generic] = np.zeros(tuple(item.dims), values.dtype)
    if places.ndim == 2:
        found[tuple(places.T)] = values
    else:
        found.reshape(-1)[places] = values
    return numpy_helper.from_array(found, item.values.name)


def _unfused(model: onnx.ModelProto, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield Conv, Add and activation for a FusedConv of com.microsoft, and any other node as it is."""
    attrs = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    activation = attrs.pop("activation", b"").decode()
    numbers = [float(value) for value in attrs.pop("activation_params", ())]
    known = activation in ("", "Relu", "Sigmoid", "Tanh", "Clip", *_ALPHA)
    if (node.op_type, node.domain) != ("FusedConv", "com.microsoft") or not known:
        yield node
        return
    names = FreeNames(name for item in model.graph.node for name in (item.name, *item.input, *item.output))
    added = node.input[3] if len(node.input) > 3 else ""
    steps = ["Conv", *(["Add"] if added else []), *([activation] if activation else [])]
    outputs = [names.take(f"{node.output[0]}_{step.lower()}") for step in steps[:-1]] + [node.output[0]]
    yield helper.make_node("Conv", list(node.input[:3]), outputs[:1], name=node.name, **attrs)
    if added:
        yield helper.make_node("Add", [outputs[0], added], [outputs[1]], name=names.take(f"{node.name}_add"))
    if activation == "Clip":
        limits = [names.take(f"{node.output[0]}_{key}") for key in ("min", "max")]
        ends = zip(limits, numbers, strict=True)
        model.graph.initializer.extend(numpy_helper.from_array(np.array(end, np.float32), name) for name, end in ends)
        yield helper.make_node("Clip", [outputs[-2], *limits], [outputs[-1]], name=names.take(f"{node.name}_clip"))
    elif activation:
        pairs = dict(zip(_ALPHA.get(activation, ()), numbers, strict=False))
        label = names.take(f"{node.name}_{activation.lower()}")
        made = helper.make_node(activation, [outputs[-2]], [outputs[-1]], name=label)
        made.attribute.extend(helper.make_attribute(key, value) for key, value in pairs.items())
        yield made


def with_foreign_shapes(model: onnx.ModelProto, known: set[str], where: str) -> onnx.ModelProto:
    """Return the model with the shapes of what operators of other domains compute, where ONNX does not know them.

    known: tensors whose shape can be told. The shapes are measured on inputs of zeros.

    Raises:
        InputError: the model cannot run.
    """
    missing = [
        name for node in model.graph.node if node.domain not in _STANDARD for name in node.output if name not in known
    ]
    missing = [name for name in missing if name]
    if not missing:
        return model
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    given = {item.name for item in model.graph.output}
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing if name not in given)
    constants = {item.name for item in model.graph.initializer}
    feeds = {item.name: _zeros(item) for item in model.graph.input if item.name not in constants}
    try:
        values = evaluate(asked.SerializeToString(), feeds, missing)
    except runtime_errors() as error:
        raise InputError.at(where, f"ONNX Runtime cannot run this model: {first_line(error)}") from error
    outputs = {item.name: item for item in model.graph.output}
    for name, value in zip(missing, values, strict=True):
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        described = helper.make_tensor_value_info(name, kind, value.shape)
        if name in outputs:
            outputs[name].CopyFrom(described)
        else:
            model.graph.value_info.append(described)
    return model


def _zeros(item: onnx.ValueInfoProto) -> NDArray[np.generic]:
    tensor = item.type.tensor_type
    return np.zeros([dim.dim_value for dim in tensor.shape.dim], helper.tensor_dtype_to_np_dtype(tensor.elem_type))
