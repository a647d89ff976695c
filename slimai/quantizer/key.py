"""A name for an integer network: candidates with the same integers are the same candidate."""

from __future__ import annotations

import hashlib
from typing import Any

from slimai.graph.ir import Array
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight


def plan_key(plan: QuantPlan) -> str:
    """Return the sha256, in hex, of all that decides the integers that the plan computes.

    Layers, operators and attributes, scales and zero points, integer weights, biases and operands count; names of
    profiles, decisions and the level do not.
    """
    digest = hashlib.sha256()
    for tensor in sorted(plan.tensors):
        _text(digest, tensor, _params(plan.tensors[tensor]))
    for layer in plan.layers:
        _layer(digest, layer)
        if layer.mode == "host":
            for name in layer.node.inputs:
                _array(digest, plan.graph.constants.get(name))
    _text(digest, plan.graph.inputs, plan.graph.outputs)
    return digest.hexdigest()


def _layer(digest: Any, layer: Layer) -> None:
    for node in (layer.node, layer.activation):
        if node is not None:
            _text(digest, node.op, node.domain, node.inputs, node.outputs, _attributes(node.attrs))
    _text(digest, layer.mode, layer.inputs, layer.outputs)
    if layer.weight is not None:
        _text(digest, layer.weight.dtype.name, layer.weight.axis, layer.weight.zero_point)
        digest.update(_integers(layer.weight))
    for position, matrix in sorted(layer.matrices.items()):
        _text(digest, position, matrix.dtype.name)
        digest.update(_integers(matrix))
    _array(digest, layer.bias)
    for position, (values, params) in sorted(layer.operands.items()):
        _text(digest, position, _params(params))
        _array(digest, values)


def _integers(weight: QWeight) -> bytes:
    """Return the sha256 of integers and scales, which candidates that share the weight take once."""
    if "digest" not in weight.forms:
        digest = hashlib.sha256()
        _array(digest, weight.values)
        _array(digest, weight.scale)
        weight.forms["digest"] = digest.digest()
    found: bytes = weight.forms["digest"]
    return found


def _params(params: QParams) -> tuple[str, str, int]:
    return params.dtype.name, params.scale.hex(), params.zero_point


def _attributes(attrs: Any) -> list[tuple[str, str]]:
    return sorted((key, repr(value)) for key, value in attrs.items())


def _text(digest: Any, *parts: object) -> None:
    encoded = repr(parts).encode()
    digest.update(len(encoded).to_bytes(8, "big") + encoded)


def _array(digest: Any, values: Array | None) -> None:
    if values is None:
        digest.update(b"-")
        return
    _text(digest, values.dtype.str, values.shape)
    digest.update(values.tobytes())
