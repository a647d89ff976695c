"""Recognise SiLU, HardSwish and Mish: x times a squashed x."""

from __future__ import annotations

from math import isclose

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.fuse_hard_sigmoid import clipped_sum
from slimai.graph.passes.pattern import made_by, unscaled


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match x * sigmoid(x), x * hardsigmoid(x), x * tanh(softplus(x)), x * clip(x + 3, 0, 6) / 6."""
    found = _gate(graph, node) or _scaled_gate(graph, node)
    if found is None:
        return None
    op, x, gone = found
    problem = removable(graph, gone, node)
    if problem:
        return Refusal(problem)
    spelled = ", ".join(dict.fromkeys(item.op for item in gone))
    new = Node(node.name, op, (x,), node.outputs)
    return Replacement((new,), tuple(item.name for item in gone), f"{op} spelled with {spelled}")


def _gate(graph: Graph, node: Node) -> tuple[str, str, list[Node]] | None:
    if node.op != "Mul":
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        producer = graph.producers.get(gate)
        if producer is None:
            continue
        if producer.op == "Sigmoid" and producer.inputs[0] == x:
            return "SiLU", x, [producer]
        if producer.op == "HardSigmoid" and producer.inputs[0] == x and _is_swish(producer):
            return "HardSwish", x, [producer]
        soft = made_by(graph, producer.inputs[0], "Softplus") if producer.op == "Tanh" else None
        if soft is not None and soft.inputs[0] == x:
            return "Mish", x, [soft, producer]
    return None


def _is_swish(node: Node) -> bool:
    return isclose(node.attrs["alpha"], 1 / 6, rel_tol=1e-6) and isclose(node.attrs["beta"], 0.5, rel_tol=1e-6)


def _scaled_gate(graph: Graph, node: Node) -> tuple[str, str, list[Node]] | None:
    product, factor, scaling = unscaled(graph, node.outputs[0])
    mul = made_by(graph, product, "Mul")
    if not scaling or mul is None or factor.size != 1 or not isclose(factor.item(), 1 / 6, rel_tol=1e-6):
        return None
    for x, gate in (mul.inputs, mul.inputs[::-1]):
        found = clipped_sum(graph, gate)
        if found is not None and found.source == x and (found.slope, found.offset, found.top) == (1.0, 3.0, 6.0):
            return "HardSwish", x, [*found.nodes, mul, *scaling[1:]]
    return None


FUSE_ACTIVATION = Pass("fuse_activation", match, requires=("fuse_hard_sigmoid",))
