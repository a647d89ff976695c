"""Batches that a model fixes: pictures of one are taken where the operators keep pictures apart."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from slimai.errors import Diagnostic, InputError, UnsupportedError
from slimai.graph.ir import Graph


def dims_of(item: onnx.ValueInfoProto) -> list[int | str] | None:
    """Return sizes, a name or '?' for an open dimension; None when the model gives no shape at all."""
    tensor = item.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim]


def pictures_of_one(model: onnx.ModelProto, pictures: Container[str]) -> dict[str, list[int]]:
    """Return the shapes of picture inputs whose batch the model fixes to more than 1."""
    constants = {item.name for item in model.graph.initializer}
    found = {}
    for item in model.graph.input:
        dims = dims_of(item) if item.type.HasField("tensor_type") and item.name not in constants else None
        sizes = [size for size in dims or () if isinstance(size, int)]
        if item.name in pictures and len(sizes) == len(dims or ()) == 4 and sizes[0] > 1:
            found[item.name] = sizes
    return found


def require_apart(graph: Graph, fixed: Mapping[str, list[int]], where: str) -> None:
    """Refuse a fixed batch that operators depend on: one picture alone would give something else."""
    if graph.batchable:
        return
    problems = [
        Diagnostic(
            f"this input's batch is fixed to {shape[0]}, and one picture cannot be run alone: {graph.batch_note}",
            name,
            shape,
            "export the model with a batch of 1",
            where,
        )
        for name, shape in fixed.items()
    ]
    if problems:
        raise UnsupportedError(problems)


def declared_inputs(path: Path) -> dict[str, list[int | str] | None]:
    """Return the sizes of each input as an ONNX file writes them, see `dims_of`.

    Raises: InputError where the file is no ONNX model.
    """
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        raise InputError.at(str(path), f"this is no valid ONNX model: {str(error).splitlines()[0]}") from error
    constants = {item.name for item in model.graph.initializer}
    tensors = (item for item in model.graph.input if item.type.HasField("tensor_type"))
    return {item.name: dims_of(item) for item in tensors if item.name not in constants}
