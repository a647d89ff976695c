"""Bringing a model to the common operator set, with a correction of what the ONNX converter changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, version_converter

from slimai.errors import Diagnostic, InputError, UnsupportedError
from slimai.graph.optimize import first_line
from slimai.graph.same_outputs import first_difference
from slimai.graph.small_constants import SmallConstants

OLDEST_OPSET = 7
COMMON_OPSET = 17
_RESIZE_REDEFINED = 11
_HARDMAX_REDEFINED = 13
# Operator -> the operator set from which on a node means the same up to 17: later definitions added types, optional
# attributes or inputs, negative axes. Models of such nodes alone need no run before and after (it costs as much again
# as loading them); tests hold every entry against the run.
UNCHANGED_SINCE: dict[str, int] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "MatMul", "Transpose", "Concat", "Constant", "Identity", "Shape"), 7),
    **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Sqrt", "LeakyRelu", "PRelu", "Elu"), 7),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "HardSigmoid", "Softplus", "GlobalAveragePool", "GlobalMaxPool"), 7),
    **dict.fromkeys(("Gemm", "Reshape", "Gather", "MaxPool", "AveragePool", "ReduceMean", "SpaceToDepth"), 7),
    **dict.fromkeys(("Flatten", "BatchNormalization"), 9),
    **dict.fromkeys(("Clip", "Pad", "Resize", "DepthToSpace"), 11),
    "Slice": 10,
}


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set."""
    return next((item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}), COMMON_OPSET)


def upgraded(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model in operator set 17, or as it is when it has that or a later one.

    What was converted is run before and after, on a random sample.

    Raises:
        InputError: an operator cannot be brought there.
        UnsupportedError: a Resize of operator set 10 or older has no equivalent; an operator means something else in
            operator set 17, and the converter did not notice.
    """
    version = opset_of(model)
    if version >= COMMON_OPSET:
        return model
    old = _old_resizes(model, where) if version < _RESIZE_REDEFINED else []
    try:
        found = version_converter.convert_version(_with_flat_hardmax(model, version), COMMON_OPSET)
    except (version_converter.ConvertError, RuntimeError, ValueError, TypeError) as error:
        message = f"operator set {version} cannot be brought to {COMMON_OPSET}: {first_line(error)}"
        raise InputError.at(where, message, cure=f"export the model with operator set {COMMON_OPSET}") from error
    if old:  # the converter keeps the order of nodes, but renames their outputs now and then
        resizes = [node for node in found.graph.node if node.op_type == "Resize"]
        for node, nearest in zip(resizes, old, strict=True):
            _set(node, "coordinate_transformation_mode", "asymmetric")
            _set(node, "nearest_mode", nearest)
    problem = None if _same_nodes(model, found, version) else first_difference(model, found)
    if problem is not None:
        name, message = problem
        cure = f"export the model with operator set {COMMON_OPSET}"
        text = f"operator set {version} cannot be brought to {COMMON_OPSET} unchanged: {message}"
        raise UnsupportedError(Diagnostic(text, name, suggestion=cure, file=where))
    return found


def _same_nodes(before: onnx.ModelProto, after: onnx.ModelProto, version: int) -> bool:
    """Return whether the converter left every node as it was, and operator set 17 means the same by each of them."""
    if len(before.graph.node) != len(after.graph.node):
        return False
    for old, new in zip(before.graph.node, after.graph.node, strict=True):
        same = (old.op_type, old.domain, old.input, old.attribute) == (
            new.op_type,
            new.domain,
            new.input,
            new.attribute,
        )
        if not same or UNCHANGED_SINCE.get(old.op_type, COMMON_OPSET) > version or old.domain not in {"", "ai.onnx"}:
            return False
    return True


def _with_flat_hardmax(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return the model with each Hardmax, which the converter leaves alone, between Flatten and Reshape.

    Before operator set 13 it runs over all axes from `axis` (default 1) on, taken as one; from then on over `axis`.
    """
    if version >= _HARDMAX_REDEFINED or not any(node.op_type == "Hardmax" for node in model.graph.node):
        return model
    found = onnx.ModelProto()
    found.CopyFrom(model)
    nodes = [part for node in found.graph.node for part in _flat_hardmax(node)]
    del found.graph.node[:]
    found.graph.node.extend(nodes)
    return found


def _flat_hardmax(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    if node.op_type != "Hardmax" or node.domain not in {"", "ai.onnx"}:
        return [node]
    axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
    x, y = node.input[0], node.output[0]
    shape, flat, chosen = (f"{y}__hardmax_{part}" for part in ("shape", "flat", "chosen"))
    name = node.name or y
    return [
        helper.make_node("Shape", [x], [shape], name=f"{name}_shape"),
        helper.make_node("Flatten", [x], [flat], name=f"{name}_flatten", axis=axis),
        helper.make_node("Hardmax", [flat], [chosen], name=name, axis=1),
        helper.make_node("Reshape", [chosen, shape], [y], name=f"{name}_reshape"),
    ]


def _old_resizes(model: onnx.ModelProto, where: str) -> list[str]:
    """Return the nearest_mode that keeps the meaning of each Upsample and Resize before operator set 11, in order.

    They map x_out to x_out / scale and take the element below when they enlarge, above when they reduce (ONNX
    Runtime's reading of operator set 10). The converter leaves the defaults of operator set 11 instead.
    """
    constants = SmallConstants(model)
    found: list[str] = []
    problems = []
    for node in model.graph.node:
        if node.op_type not in {"Upsample", "Resize"} or node.domain not in {"", "ai.onnx"}:
            continue
        scales = _scales(node, constants)
        if scales is None or (scales.min() < 1 < scales.max()):
            reason = "has computed scales" if scales is None else "both enlarges and reduces"
            message = f"{node.op_type} of operator set {opset_of(model)} {reason}"
            cure = f"export the model with operator set {COMMON_OPSET}"
            problems.append(Diagnostic(message, node.name or node.output[0], suggestion=cure, file=where))
        else:
            found.append("ceil" if scales.min() < 1 else "floor")
    if problems:
        raise UnsupportedError(problems)
    return found


def _scales(node: onnx.NodeProto, constants: SmallConstants) -> NDArray[Any] | None:
    given = next((item.floats for item in node.attribute if item.name == "scales"), None)
    if given is not None:
        return np.array(given, dtype=np.float32)
    value = constants.get(node.input[1]) if len(node.input) > 1 else None
    return value if value is not None and value.size else None


def _set(node: onnx.NodeProto, name: str, value: str) -> None:
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
