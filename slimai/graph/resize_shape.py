"""One size for each Resize: the one that ONNX Runtime computes, whoever else reads the model.

A size is floor(scale * size). ONNX Runtime takes the product in float32, ONNX's shape inference in double; where a
scale was meant as a ratio of integers (13 / 5) the two differ by one, and so do the shapes of everything behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from slimai.errors import Diagnostic, UnsupportedError
from slimai.graph.canonical.spatial import runtime_sizes
from slimai.graph.infer import static_types
from slimai.graph.optimize import evaluate, runtime_errors
from slimai.graph.small_constants import SmallConstants

Array = NDArray[Any]


def with_settled_sizes(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model with `sizes` in place of the scales of each Resize whose size depends on who multiplies.

    The sizes mean the same scales: a Resize for which they would not is refused.

    Raises:
        UnsupportedError: sizes that readers of the model compute differently, and that cannot be written out.
    """
    while True:  # a size that is settled changes the shapes behind it
        constants = SmallConstants(model)
        if not any(_ratios(node, constants) for node in model.graph.node):
            return model
        types = static_types(model, where)
        found = next((item for node in model.graph.node if (item := _unsettled(node, types, constants))), None)
        if found is None:
            return model
        _settle(model, *found, where)


def _ratios(node: onnx.NodeProto, constants: SmallConstants) -> bool:
    scales = _scales(node, constants)
    return scales is not None and bool(np.any(scales != np.floor(scales)))


def _scales(node: onnx.NodeProto, constants: SmallConstants) -> Array | None:
    if node.op_type != "Resize" or node.domain not in {"", "ai.onnx"} or len(node.input) < 3 or any(node.input[3:]):
        return None
    scales = constants.get(node.input[2])
    return scales if scales is not None and scales.size else None


def _unsettled(
    node: onnx.NodeProto, types: dict[str, onnx.TypeProto], constants: SmallConstants
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
        moved = _nudged(shape, scales, sizes)
        if moved is not None and _same_pixels(model, node, shape, scales, moved):
            node.input[2] = _added(model, f"{node.output[0]}_settled_scales", moved)
            return
        message = f"the output size of {node.op_type} depends on the precision of scale * size"
        cure = f"export it with sizes (ONNX Runtime gives {list(sizes)})"
        at = node.name or node.output[0]
        raise UnsupportedError(Diagnostic(message, at, scales.tolist(), cure, where))
    del node.input[2:]
    node.input.extend(["", _added(model, f"{node.output[0]}_settled_sizes", np.array(sizes, np.int64))])


def _added(model: onnx.ModelProto, name: str, value: Array) -> str:
    """Add a constant to the model and return its name."""
    taken = {item.name for item in model.graph.initializer}
    while name in taken or any(name in item.output for item in model.graph.node):
        name += "_"
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _nudged(shape: list[int], scales: Array, sizes: Sequence[int]) -> Array | None:
    """Return the scales, those that float32 and double disagree about moved by one float32, where that ends it."""
    single = scales.astype(np.float32)
    exact = np.floor(np.array(shape, np.float64) * single)
    towards = np.where(np.array(sizes) > exact, np.inf, -np.inf).astype(np.float32)
    moved: Array = np.where(exact == sizes, single, np.nextafter(single, towards))
    agree = tuple(int(size) for size in np.array(shape, np.float64) * moved) == tuple(sizes)
    return moved if agree and runtime_sizes(tuple(shape), moved) == tuple(sizes) else None


def _same_pixels(model: onnx.ModelProto, node: onnx.NodeProto, shape: list[int], scales: Array, moved: Array) -> bool:
    """Return whether ONNX Runtime makes the same picture of a ramp with both scales, to 1e-6 of its largest value."""
    ramp = np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape)
    probe = onnx.NodeProto()
    probe.CopyFrom(node)
    del probe.input[:], probe.output[:]
    kept = [item for item in node.attribute if item.name != "axes"]
    del probe.attribute[:]
    probe.attribute.extend(kept)
    probe.input.extend(["x", "", "scales"])
    probe.output.extend(["y"])
    found: list[Array] = []
    for values in (scales.astype(np.float32), moved):
        constants = [numpy_helper.from_array(ramp, "x"), numpy_helper.from_array(values, "scales")]
        graph = helper.make_graph([probe], "probe", [], [onnx.ValueInfoProto(name="y")], constants)
        asked = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        try:
            found.append(evaluate(asked.SerializeToString(), {}, ["y"])[0])
        except runtime_errors():
            return False
    plain, other = found
    return bool(np.abs(plain - other).max() <= 1e-6 * max(float(ramp.max()), 1.0))
