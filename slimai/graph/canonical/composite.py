"""Operators that are a few canonical ones: sums of many, norms, logarithms of sums.

LogSoftmax is d - log(sum exp d) with d = x - max x, and ReduceLogSumExp max x + log(sum exp(x - max x)): no
exponential leaves 0 .. 1, and none is taken below -20, where it is nothing beside the 1 of the largest. One that a
mask is added to stays as it is: masks are known in front of it (`slimai.graph.sentinels`). So does an operator on
another type than float32, or with computed axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slimai.graph.canonical.context import Context, computed_input, has_input, integers, positive_axis
from slimai.graph.ir import Node
from slimai.graph.sentinels import LEAST, MOVES

Rule = Callable[[Context, Node], tuple[Node, ...]]
SMALLEST_NORM = 1e-12
_LEAST_POWER = -20.0  # exp(-20) is 2e-9 of the sum, which is 1 or more


class _Chain:
    """Nodes in place of one; the last writes its output."""

    def __init__(self, context: Context, node: Node) -> None:
        self.context, self.node = context, node
        self.made: list[Node] = []

    def add(self, op: str, *inputs: str, last: bool = False, **attrs: Any) -> str:
        shapes = [self.context.shape(name) for name in inputs]
        shape: tuple[int, ...] = np.broadcast_shapes(*shapes)
        if op.startswith("Reduce"):
            kept = tuple(1 if axis in attrs["axes"] else n for axis, n in enumerate(shapes[0]))
            dropped = tuple(n for axis, n in enumerate(shapes[0]) if axis not in attrs["axes"])
            shape = kept if attrs.get("keepdims", 1) else dropped
        number, output = len(self.made), self.node.outputs[0]
        target = output if last else self.context.add_tensor(f"{output}_{op.lower()}_{number}", shape)
        self.made.append(Node(self.node.name if last else target, op, inputs, (target,), attrs))
        return target

    def constant(self, value: float) -> str:
        return self.context.add_constant(f"{self.node.outputs[0]}_number", np.array(value, dtype=np.float32))

    def done(self) -> tuple[Node, ...]:
        return tuple(self.made)


def _is_float(context: Context, node: Node) -> bool:
    names = [name for name in node.inputs if name and (name in context.graph.tensors)]
    return all(context.graph.tensors[name].dtype == "float32" for name in (names[0], node.outputs[0]))


def joined(context: Context, node: Node) -> tuple[Node, ...]:
    """Return Sum or Mean as a chain of Add, and the factor of a Mean."""
    if len(node.inputs) < 2 or not _is_float(context, node):
        return (node,)
    chain, mean = _Chain(context, node), node.op == "Mean"
    total = node.inputs[0]
    for number, name in enumerate(node.inputs[1:], 2):
        total = chain.add("Add", total, name, last=number == len(node.inputs) and not mean)
    if mean:
        chain.add("Mul", total, chain.constant(1 / len(node.inputs)), last=True)
    return chain.done()


def _reduction(context: Context, node: Node) -> dict[str, Any] | None:
    """Return axes and keepdims, or None where they are computed, or there is nothing to reduce."""
    if computed_input(context, node, 1) or not _is_float(context, node):
        return None
    given = context.constant(node, 1) if has_input(node, 1) else node.attrs.get("axes", ())
    rank = len(context.shape(node.inputs[0]))
    axes = tuple(sorted({positive_axis(axis, rank) for axis in integers(given if given is not None else ())}))
    if not axes and node.attrs.get("noop_with_empty_axes", 0):
        return None
    return {"axes": axes or tuple(range(rank)), "keepdims": int(node.attrs.get("keepdims", 1))}


def reduced(context: Context, node: Node) -> tuple[Node, ...]:
    """Return ReduceL1, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp."""
    attrs = _reduction(context, node)
    if attrs is None:
        return (node,)
    chain, x = _Chain(context, node), node.inputs[0]
    kept: dict[str, Any] = {**attrs, "keepdims": 1}
    if node.op == "ReduceL1":
        chain.add("ReduceSum", chain.add("Abs", x), last=True, **attrs)
    elif node.op == "ReduceSumSquare":
        chain.add("ReduceSum", chain.add("Mul", x, x), last=True, **attrs)
    elif node.op == "ReduceLogSum":
        chain.add("Log", chain.add("ReduceSum", x, **attrs), last=True)
    elif _masked(context, x):
        return (node,)
    else:
        top = chain.add("ReduceMax", x, **kept)
        total = chain.add("ReduceSum", _powers(chain, chain.add("Sub", x, top)), **attrs)
        shown = top if attrs["keepdims"] else chain.add("ReduceMax", x, **attrs)  # as the sum: without the axes
        chain.add("Add", chain.add("Log", total), shown, last=True)
    return chain.done()


def log_softmax(context: Context, node: Node) -> tuple[Node, ...]:
    """Return LogSoftmax along its axis."""
    x = node.inputs[0]
    if not _is_float(context, node) or _masked(context, x):
        return (node,)
    chain = _Chain(context, node)
    along: dict[str, Any] = {"axes": (positive_axis(node.attrs.get("axis", -1), len(context.shape(x))),), "keepdims": 1}
    below = chain.add("Sub", x, chain.add("ReduceMax", x, **along))
    total = chain.add("ReduceSum", _powers(chain, below), **along)
    chain.add("Sub", below, chain.add("Log", total), last=True)
    return chain.done()


def _powers(chain: _Chain, below: str) -> str:
    """Return the exponential of differences to the largest value; its grid is spent on those that a sum shows."""
    return chain.add("Exp", chain.add("Clip", below, lo=_LEAST_POWER, hi=0.0))


def lp_normalization(context: Context, node: Node) -> tuple[Node, ...]:
    """Return LpNormalization by the sum of magnitudes or the root of the sum of squares; rows of zeros stay zeros."""
    kind = {1: "ReduceL1", 2: "ReduceL2"}.get(int(node.attrs.get("p", 2)))
    if kind is None or not _is_float(context, node):
        return (node,)
    chain, x = _Chain(context, node), node.inputs[0]
    along: dict[str, Any] = {"axes": (positive_axis(node.attrs.get("axis", -1), len(context.shape(x))),), "keepdims": 1}
    norm = chain.add("ReduceL2", x, **along) if kind == "ReduceL2" else chain.add(
        "ReduceSum", chain.add("Abs", x), **along)  # fmt: skip
    chain.add("Div", x, chain.add("Clip", norm, lo=SMALLEST_NORM, hi=np.inf), last=True)
    return chain.done()


def rms_normalization(context: Context, node: Node) -> tuple[Node, ...]:
    """Return RMSNormalization, x / sqrt(mean(x^2) + epsilon) * gain, the mean over all axes from `axis` on."""
    if not _is_float(context, node) or node.attrs.get("stash_type", 1) != 1:
        return (node,)
    chain, (x, gain) = _Chain(context, node), node.inputs[:2]
    rank = len(context.shape(x))
    along: dict[str, Any] = {"axes": tuple(range(positive_axis(node.attrs.get("axis", -1), rank), rank)), "keepdims": 1}
    mean = chain.add("ReduceMean", chain.add("Mul", x, x), **along)
    epsilon = chain.constant(float(node.attrs.get("epsilon", 1e-5)))
    chain.add("Mul", chain.add("Mul", x, chain.add("Rsqrt", chain.add("Add", mean, epsilon))), gain, last=True)
    return chain.done()


def _masked(context: Context, name: str) -> bool:
    """Return whether a constant that is a mask is added to a tensor, selected, or multiplied into it."""
    node = context.graph.producers.get(name)
    while node is not None and node.op in MOVES:
        node = context.graph.producers.get(node.inputs[0])
    values = [context.graph.constant(item) for item in node.inputs] if node is not None else []
    return any(value is not None and value.dtype.kind == "f" and (value <= -LEAST).any() for value in values)


RULES: dict[str, Rule] = {
    "Sum": joined,
    "Mean": joined,
    **dict.fromkeys(("ReduceL1", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), reduced),
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_normalization,
    "RMSNormalization": rms_normalization,
}
