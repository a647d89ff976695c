"""Refusing models whose numbers would make the libraries below compute absurd sizes.

The ONNX shape inference and ONNX Runtime are native code: a dimension that overflows there ends the whole
process, and a constant of a terabyte fills the memory. Both come from numbers that no real network has.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from slimai.errors import Diagnostic, InputError

LARGEST_BYTES = 2**31 - 1
LARGEST_NUMBER = 2**31
LARGEST_SCALE = 4096.0
_SHOWN = 5
# Slice writes "to the end" as the largest integer; such bounds are clamped to the axis.
_CLAMPED = frozenset({"Slice"})
_SCALED = frozenset({"Resize", "Upsample"})


def refuse_absurd_numbers(model: onnx.ModelProto, where: str) -> None:
    """Raise InputError for sizes, pads, axes and scales beyond 2^31 (scales: 4096) in attributes and constants."""
    problems = [
        Diagnostic(f"{what} is out of all proportion", name, value, "export the model again", where)
        for name, what, value in _absurd(model.graph)
    ]
    if problems:
        raise InputError(problems[:_SHOWN])


def _absurd(graph: onnx.GraphProto) -> Iterator[tuple[str, str, Any]]:
    constants = {item.name: item for item in graph.initializer}
    for item in graph.input:
        dims = item.type.tensor_type.shape.dim
        sizes = [max(1, dim.dim_value) for dim in dims]
        if prod(sizes) > LARGEST_BYTES or any(dim.dim_value < 0 for dim in dims):
            yield item.name, "the input's shape", sizes
    for node in graph.node:
        name = node.name or node.op_type
        for attribute in node.attribute:
            if attribute.HasField("t"):
                constants.update(dict.fromkeys(node.output, attribute.t))
            if _absurd_attribute(node.op_type, attribute):
                yield name, f"attribute '{attribute.name}'", [*attribute.ints, *attribute.floats][:_SHOWN]
        for source in node.input:
            if source in constants and _absurd_constant(node.op_type, constants[source]):
                yield name, f"constant '{source}'", _values(constants[source]).reshape(-1)[:_SHOWN].tolist()


def _absurd_attribute(op: str, attribute: onnx.AttributeProto) -> bool:
    if op in _SCALED and attribute.name == "scales" and not _moderate(np.array(attribute.floats)):
        return True
    return op not in _CLAMPED and any(abs(value) > LARGEST_NUMBER for value in (*attribute.ints, attribute.i))


def _absurd_constant(op: str, tensor: onnx.TensorProto) -> bool:
    if prod(tensor.dims) > 64:  # weights; what steers a shape has one number an axis
        return False
    if tensor.data_type in {onnx.TensorProto.INT64, onnx.TensorProto.UINT64}:
        values = _values(tensor).astype(np.float64)
        return op not in _CLAMPED and bool((np.abs(values) > LARGEST_NUMBER).any())
    if tensor.data_type == onnx.TensorProto.FLOAT and op in _SCALED:
        return not _moderate(_values(tensor))
    return False


def _values(tensor: onnx.TensorProto) -> NDArray[Any]:
    return np.asarray(numpy_helper.to_array(tensor))


def _moderate(scales: NDArray[Any]) -> bool:
    return bool(np.isfinite(scales).all() and ((scales > 0) & (scales <= LARGEST_SCALE)).all())
