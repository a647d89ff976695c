"""Operators that work element by element, Softmax and ArgMax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from slimai.graph.canonical.context import Context, computed_input, only, positive_axis, same_as_reshape
from slimai.graph.ir import Array, Node
from slimai.graph.ops import TRAITS

Rule = Callable[[Context, Node], tuple[Node, ...] | None]


def _as_in_onnx(count: int, defaults: Mapping[str, float]) -> Rule:
    """Return the rule of an operator whose ONNX form is the canonical one, once every attribute is written out."""

    def rule(context: Context, node: Node) -> tuple[Node, ...]:
        del context
        return (only(node, count, **{key: float(node.attrs.get(key, value)) for key, value in defaults.items()}),)

    return rule


def clip(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return Clip with constant limits, or Relu for limits 0 and infinity; limits that cross are both the upper one."""
    if computed_input(context, node, 1) or computed_input(context, node, 2):
        return None
    lo, hi = context.constant(node, 1), context.constant(node, 2)
    low = float(lo.reshape(-1)[0]) if lo is not None and lo.size else -inf
    high = float(hi.reshape(-1)[0]) if hi is not None and hi.size else inf
    limit = float(np.finfo(np.float32).max)
    low, high = (-inf if low <= -limit else low), (inf if high >= limit else high)
    low = min(low, high)
    if (low, high) == (0.0, inf):
        return (only(node, 1, "Relu"),)
    return (only(node, 1, lo=low, hi=high),)


def prelu(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return PRelu with a constant slope; one slope for all elements makes it a LeakyRelu."""
    slope = context.constant(node, 1)
    if slope is None or slope.dtype != np.float32:
        return None
    if slope.size == 1:
        return (only(node, 1, "LeakyRelu", alpha=float(slope.reshape(-1)[0])),)
    return (only(node, 2),)


def softmax(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Softmax along one axis."""
    rank = len(context.shape(node.inputs[0]))
    return (only(node, 1, axis=positive_axis(node.attrs.get("axis", -1), rank)),)


def swish(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return SiLU for Swish with alpha 1."""
    del context
    return (only(node, 1, "SiLU"),) if float(node.attrs.get("alpha", 1.0)) == 1.0 else None


def extreme(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return a chain of Max or Min of two operands; a scalar constant makes a Clip, one operand alone a no-op."""
    names = node.inputs
    if len(names) == 1:
        return same_as_reshape(context, node)
    clamp = _as_clamp(context, node) if len(names) == 2 else None
    if clamp is not None:
        return (clamp,)
    made, last = [], names[0]
    for number, name in enumerate(names[1:], 1):
        joined = np.broadcast_shapes(context.shape(last), context.shape(name))
        final = number == len(names) - 1
        dtype = context.graph.tensors[node.outputs[0]].dtype
        target = node.outputs[0] if final else context.add_tensor(f"{node.outputs[0]}_{number}", joined, dtype)
        made.append(Node(node.name if final else target, node.op, (last, name), (target,)))
        last = target
    return tuple(made)


def _as_clamp(context: Context, node: Node) -> Node | None:
    """Return the Relu or Clip that a Max or Min with one number is, on whichever side the number stands."""
    for place in (1, 0):
        limit, tensor = context.constant(node, place), node.inputs[1 - place]
        if limit is None or limit.dtype != np.float32 or not _is_scalar(limit, node.op, context.shape(tensor)):
            continue
        if context.shape(tensor) != context.shape(node.outputs[0]):
            continue
        value, read = float(limit.reshape(-1)[0]), replace(node, inputs=(tensor,))
        if node.op == "Max" and value == 0.0:
            return only(read, 1, "Relu")
        return only(read, 1, "Clip", lo=value if node.op == "Max" else -inf, hi=inf if node.op == "Max" else value)
    return None


def _is_scalar(value: Array, op: str, shape: tuple[int, ...]) -> bool:
    """Return whether it is one number, with any number of axes.

    Not the upper limit [1, C, 1, 1] of a tensor that has one channel: exported networks hold a limit a channel so.
    """
    limit_a_channel = op == "Min" and value.ndim > 1 and len(shape) > 1 and shape[1] == 1
    return value.size == 1 and not limit_a_channel and not np.isnan(value).any()


def where(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the selection by a constant mask."""
    return None if context.constant(node, 0) is None else (only(node, 3),)


_POWERS = {0.5: "Sqrt", -0.5: "Rsqrt", -1.0: "Reciprocal"}


def power(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the function of a constant exponent, or Pow with it; an exponent of 1 is a no-op."""
    given = context.constant(node, 1)
    if given is None or given.size != 1 or given.ndim > len(context.shape(node.inputs[0])):
        return None
    exponent = float(given.reshape(-1)[0])
    if exponent == 1.0:
        return same_as_reshape(context, node)
    if exponent in _POWERS:
        return (only(node, 1, _POWERS[exponent]),)
    return (only(node, 1, exponent=exponent),) if exponent and np.isfinite(exponent) else None


def gelu(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the Gelu with its form: by erf (none) or by tanh."""
    del context
    return (only(node, 1, approximate=str(node.attrs.get("approximate", "none"))),)


def arg_max(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the ArgMax with all its attributes."""
    rank = len(context.shape(node.inputs[0]))
    attrs: dict[str, Any] = {
        "axis": positive_axis(node.attrs.get("axis", 0), rank),
        "keepdims": int(node.attrs.get("keepdims", 1)),
        "select_last_index": int(node.attrs.get("select_last_index", 0)),
    }
    return (only(node, 1, **attrs),)


def cast(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return a no-op for a Cast to the type that the tensor already has."""
    source, target = context.graph.tensors[node.inputs[0]], context.graph.tensors[node.outputs[0]]
    return same_as_reshape(context, node) if source.dtype == target.dtype else (node,)


RULES: dict[str, Rule] = {
    **{op: _as_in_onnx(row.operand_count, row.onnx) for op, row in TRAITS.items() if row.onnx is not None},
    "Clip": clip,
    "PRelu": prelu,
    "Swish": swish,
    "Max": extreme,
    "Min": extreme,
    "Where": where,
    "Pow": power,
    "Gelu": gelu,
    "Softmax": softmax,
    "ArgMax": arg_max,
    "Cast": cast,
}
