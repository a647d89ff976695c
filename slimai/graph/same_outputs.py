"""Whether two forms of one model compute the same, on random inputs: the check of whoever rewrote it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from slimai.graph.optimize import evaluate, first_line, runtime_errors

Array = NDArray[Any]
Feeds = dict[str, Array]

TOLERANCE = 1e-3  # of the largest value: far above what another order of sums does, far below another meaning
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def first_difference(before: onnx.ModelProto, after: onnx.ModelProto) -> tuple[str, str] | None:
    """Return (node, what differs) of the first node of `before` whose outputs are not the same in `after`, or None.

    Both run on ONNX Runtime without optimizations, on one random sample of the static input shapes. The node is the
    first of those that both models have an equally named output of. Models that draw random numbers, and those that
    ONNX Runtime runs in neither form, are taken for equal.
    """
    if any(node.op_type in _RANDOM for node in before.graph.node):
        return None
    feeds, outputs = _feeds(before), [item.name for item in before.graph.output]
    wanted, reason = _values(before, feeds, outputs)
    found, other = _values(after, feeds, outputs)
    if wanted is None or found is None:
        if wanted is None and found is None:
            return None
        form = "before" if wanted is None else "after"
        return "", f"ONNX Runtime does not run it {form} the conversion ({reason or other})"
    if all(_same(a, b) for a, b in zip(wanted, found, strict=True)):
        return None
    return _first(before, after, feeds)


def _feeds(model: onnx.ModelProto) -> Feeds:
    rng, constants = np.random.default_rng(0), {item.name for item in model.graph.initializer}
    return {item.name: _sample(rng, item) for item in model.graph.input if item.name not in constants}


def _sample(rng: np.random.Generator, item: onnx.ValueInfoProto) -> Array:
    """Return normal numbers, or integers 0 and 1: what they index is not known."""
    shape = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0.0, 1.0, shape).astype(dtype)
    return np.asarray(rng.integers(0, 2, shape)).astype(dtype)


def _values(model: onnx.ModelProto, feeds: Feeds, outputs: list[str]) -> tuple[list[Array] | None, str]:
    try:
        return evaluate(model.SerializeToString(), feeds, outputs), ""
    except runtime_errors() as error:
        return None, first_line(error)


def _same(wanted: Any, found: Any) -> bool:
    if not isinstance(wanted, np.ndarray) or not isinstance(found, np.ndarray):
        return type(wanted) is type(found)
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(wanted, found))
    finite = np.abs(wanted[np.isfinite(wanted)], dtype=np.float64).max(initial=0.0)
    return bool(np.allclose(found, wanted, rtol=0.0, atol=TOLERANCE * float(finite), equal_nan=True))


def _first(before: onnx.ModelProto, after: onnx.ModelProto, feeds: Feeds) -> tuple[str, str]:
    """Return the first node with a differing output; all outputs of both models are asked for, so this is slow."""
    shared = {name for node in after.graph.node for name in node.output if name}
    nodes = [node for node in before.graph.node if any(name in shared for name in node.output if name)]
    names = [name for node in nodes for name in node.output if name in shared and name]
    values = []
    for model in (before, after):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
        values.append(dict(zip(names, _values(copy, feeds, names)[0] or [], strict=False)))
    for node in nodes:
        for name in filter(None, node.output):
            if name in values[0] and name in values[1] and not _same(values[0][name], values[1][name]):
                return node.name or name, f"{node.op_type} gives other values after it"
    return "", "its outputs differ after it"
