"""Take a root of a sum of squares as one operator: sqrt(a * a + b * b + ...), the magnitude of a spectrum.

    Sqrt(Add(Mul(a, a), Pow(b, 2)))  ->  ReduceL2 over the last axis of a and b side by side

As three operators the squares are rounded to the grid of the largest one: of 8 bits 16 different magnitudes are left,
of 16 bits 181. ReduceL2 adds them exactly.
"""

from __future__ import annotations

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match the Sqrt."""
    if node.op != "Sqrt" or node.domain:
        return None
    found = _squares(graph, node.inputs[0])
    if found is None or len(found[0]) < 2:  # one square: an absolute value
        return None
    sources, nodes = found
    shape = graph.shape(node.outputs[0])
    if not shape or any(graph.shape(name) != shape for name in sources):
        return Refusal("its squares have not one shape")
    problem = removable(graph, nodes, node)
    return Refusal(problem) if problem else _replacement(node, sources, nodes, shape)


def _squares(graph: Graph, name: str) -> tuple[list[str], list[Node]] | None:
    """Return what is squared and added up to `name`, and the nodes that do so; None where something else is added."""
    node = graph.producers.get(name)
    if node is None or node.domain:
        return None
    if node.op == "Add":
        parts = [_squares(graph, item) for item in node.inputs]
        if any(part is None for part in parts):
            return None
        known = [part for part in parts if part is not None]
        nodes = {item.name: item for part in known for item in part[1]}
        return [name for part in known for name in part[0]], [*nodes.values(), node]
    product = node.op == "Mul" and node.inputs[0] == node.inputs[1]
    squared = product or (node.op == "Pow" and node.attrs["exponent"] == 2)
    return ([node.inputs[0]], [node]) if squared else None


def _replacement(node: Node, sources: list[str], nodes: list[Node], shape: tuple[int, ...]) -> Replacement:
    output, axis = node.outputs[0], len(shape)
    parts = [f"{output}_part{number}" for number in range(len(sources))]
    joined = f"{output}_parts"
    made = [
        Node(f"{node.name}_part{number}", "Reshape", (source,), (part,), {"shape": (*shape, 1)})
        for number, (source, part) in enumerate(zip(sources, parts, strict=True))
    ]
    made.append(Node(f"{node.name}_parts", "Concat", tuple(parts), (joined,), {"axis": axis}))
    made.append(Node(node.name, "ReduceL2", (joined,), node.outputs, {"axes": (axis,), "keepdims": 0}))
    tensors = [TensorInfo(name, (*shape, 1)) for name in parts] + [TensorInfo(joined, (*shape, len(parts)))]
    gone = tuple(item.name for item in nodes)
    reason = f"the root of {len(parts)} squares is a ReduceL2"
    return Replacement(tuple(made), gone, reason, tensors=tuple(tensors))


FUSE_MAGNITUDE = Pass("fuse_magnitude", match)
