"""One size for each Resize: the one that ONNX Runtime computes, whoever else reads the model.

A size is floor(scale * size). ONNX Runtime takes the product in float32, ONNX's shape inference in double; where a
scale was meant as a ratio of integers (13 / 5) the two differ by one, and so do the shapes of everything behind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from slimai.errors import Diagnostic, UnsupportedError
from slimai.graph.canonical.spatial import runtime_sizes
from slimai.graph.infer import static_types

Array = NDArray[Any]


def with_settled_sizes(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model with `sizes` in place of the scales of each Resize whose size depends on who multiplies.

    The sizes mean the same scales: a Resize for which they would not is refused.

    Raises:
        UnsupportedError: sizes that readers of the model compute differently, and that cannot be written out.
    """
    while True:  # a size that is settled changes the shapes behind it
        constants = _constants(model)
        if not any(_ratios(node, constants) for node in model.graph.node):
            return model
        types = static_types(model, where)
        found = next((item for node in model.graph.node if (item := _unsettled(node, types, constants))), None)
        if found is None:
            return model
        _settle(model, *found, where)


def _ratios(node: onnx.NodeProto, constants: dict[str, Array]) -> bool:
    scales = _scales(node, constants)
    return scales is not None and bool(np.any(scales != np.floor(scales)))


def _constants(model: onnx.ModelProto) -> dict[str, Array]:
    """Return the small constants of the model by name, those behind an Identity too."""
    found = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer if np.prod(item.dims) <= 8}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value_floats":
            found[node.output[0]] = np.array(node.attribute[0].floats, np.float32)
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _scales(node: onnx.NodeProto, constants: dict[str, Array]) -> Array | None:
    if node.op_type != "Resize" or node.domain not in {"", "ai.onnx"} or len(node.input) < 3 or any(node.input[3:]):
        return None
    scales = constants.get(node.input[2])
    return scales if scales is not None and scales.size else None


def _unsettled(
    node: onnx.NodeProto, types: dict[str, onnx.TypeProto], constants: dict[str, Array]
) -> tuple[onnx.NodeProto, list[int], Array] | None:
    """Return the node, the sizes of its scaled axes and the scales where float32 and double differ."""
    scales = _scales(node, constants)
    kind = None if scales is None else types.get(node.input[0])
    if scales is None or kind is None:
        return None
    dims = [dim.dim_value for dim in kind.tensor_type.shape.dim]
    axes = next((list(item.ints) for item in node.attribute if item.name == "axes"), list(range(len(dims))))
    shape = [dims[axis] for axis in axes] if all(-len(dims) <= axis < len(dims) for axis in axes) else []
    if len(shape) != scales.size or min(shape, default=0) < 1:
        return None
    exact = tuple(int(size) for size in np.array(shape, np.float64) * scales.astype(np.float64))
    return (node, shape, scales) if runtime_sizes(tuple(shape), scales) != exact else None


def _settle(model: onnx.ModelProto, node: onnx.NodeProto, shape: list[int], scales: Array, where: str) -> None:
    sizes = runtime_sizes(tuple(shape), scales)
    ratio = np.asarray(sizes, np.float32) / np.asarray(shape, np.float32)
    if not np.array_equal(ratio, scales.astype(np.float32)):
        message = f"the output size of {node.op_type} depends on the precision of scale * size"
        cure = f"export it with sizes (ONNX Runtime gives {list(sizes)})"
        at = node.name or node.output[0]
        raise UnsupportedError(Diagnostic(message, at, scales.tolist(), cure, where))
    name, taken = f"{node.output[0]}_settled_sizes", {item.name for item in model.graph.initializer}
    while name in taken or any(name in item.output for item in model.graph.node):
        name += "_"
    model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), name))
    del node.input[2:]
    node.input.extend(["", name])
