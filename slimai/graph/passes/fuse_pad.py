"""Move a Pad into the padding of the Conv or pooling after it, where the result is the same."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by
from slimai.graph.sentinels import LEAST
from slimai.graph.sign import nonnegative_tensors


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Conv, AveragePool or MaxPool of a Pad."""
    if node.op not in {"Conv", "AveragePool", "MaxPool"} or (pad := made_by(graph, node.inputs[0], "Pad")) is None:
        return None
    rank = len(graph.shape(pad.inputs[0]))
    pads = pad.attrs["pads"]
    begin, end = pads[2:rank], pads[rank + 2 :]
    problem = _refused(graph, pad, node, rank) or removable(graph, [pad], node)
    if problem:
        return Refusal(problem)
    old = node.attrs["pads"]
    total = tuple(a + b for a, b in zip(old, (*begin, *end), strict=True))
    extents = [(k - 1) * d + 1 for k, d in zip(_kernel(graph, node), node.attrs["dilations"], strict=True)]
    if node.op != "Conv" and any(size >= extent for size, extent in zip(total, (*extents, *extents), strict=True)):
        return Refusal("the padding is as large as the window")
    attrs = {**node.attrs, "pads": total}
    if node.op == "AveragePool":
        attrs["count_include_pad"] = 1
    merged = Node(node.name, node.op, (pad.inputs[0], *node.inputs[1:]), node.outputs, attrs)
    return Replacement((merged,), (pad.name,), f"Pad '{pad.name}' is its padding")


def _kernel(graph: Graph, node: Node) -> tuple[int, ...]:
    return graph.shape(node.inputs[1])[2:] if node.op == "Conv" else tuple(node.attrs["kernel_shape"])


def _refused(graph: Graph, pad: Node, node: Node, rank: int) -> str:
    pads, value = pad.attrs["pads"], pad.attrs["value"]
    if pad.attrs["mode"] != "constant":
        return f"a {pad.attrs['mode']} Pad is no zero padding"
    if any((*pads[:2], *pads[rank : rank + 2])):
        return "it pads batch or channels"
    if node.op == "MaxPool":
        exact = value <= -LEAST or (value == 0.0 and pad.inputs[0] in nonnegative_tensors(graph))
        return "" if exact else "the padding value could be the maximum"
    if value != 0.0:
        return f"the padding value is {value}, not 0"
    return _average_refused(node) if node.op == "AveragePool" else ""


def _average_refused(node: Node) -> str:
    if node.attrs["ceil_mode"]:
        return "with ceil_mode the divisor would change"
    own = any(node.attrs["pads"]) and not node.attrs["count_include_pad"]
    return "the AveragePool leaves its own padding out of the count" if own else ""


FUSE_PAD = Pass("fuse_pad", match)
