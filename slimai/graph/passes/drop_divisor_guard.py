"""Take away what keeps 0 / 0 from being no number in a quantized file: the integer division has a value there.

Not among `PASSES`: in a float network x / 0 is no large number divided by a small one.
"""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import ONNX_FORM
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by, scalar

SMALLEST = 2.0**-126  # that float32 holds with all digits; divided by it whatever is not 0 leaves every grid


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match a / where(b == 0, 2^-126, b)."""
    guard = made_by(graph, node.inputs[1], f"{ONNX_FORM}Where") if node.op == "Div" and not node.domain else None
    equal = made_by(graph, guard.inputs[0], "Equal") if guard is not None else None
    if guard is None or equal is None or scalar(graph, guard.inputs[1]) != SMALLEST:
        return None
    divisor = guard.inputs[2]
    if equal.inputs[0] != divisor or scalar(graph, equal.inputs[1]) != 0.0:
        return None
    problem = removable(graph, [equal, guard], node)
    if problem:
        return Refusal(problem)
    new = Node(node.name, "Div", (node.inputs[0], divisor), node.outputs, node.attrs)
    return Replacement((new,), (equal.name, guard.name), "0 / 0 is 0 in integers, and anything else over 0 saturates")


DROP_DIVISOR_GUARD = Pass("drop_divisor_guard", match)
