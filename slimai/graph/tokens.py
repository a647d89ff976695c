"""Which whole numbers an input may hold: indices of a Gather end where its table ends."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node

_MOVES = frozenset(
    [
        "Reshape",
        "Cast",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Identity",
        "Transpose",
        "Slice",
        "Split",
        "Concat",
        "Expand",
        "Tile",
    ]
)


def token_limits(graph: Graph) -> dict[str, tuple[int, int, str]]:
    """Return input -> (smallest, largest, name of the Gather), both included, for whole numbers that index tables.

    Indices are followed through operators that only move them. Of several tables the smallest counts.
    """
    found = {}
    for name in graph.inputs:
        if graph.tensors[name].dtype in ("int32", "int64"):
            tables = [(_rows(graph, node), node.name) for node in _indexed(graph, name)]
            if tables:
                rows, reader = min(tables)
                found[name] = (-rows, rows - 1, reader)
    return found


def _indexed(graph: Graph, tensor: str) -> list[Node]:
    """Return the Gathers whose indices come from the tensor."""
    found, waiting, seen = [], [tensor], {tensor}
    while waiting:
        name = waiting.pop()
        for node in graph.consumers.get(name, ()):
            kind = node.op.removeprefix("Onnx")
            if kind == "Gather" and len(node.inputs) > 1 and node.inputs[1] == name:
                found.append(node)
            elif kind in _MOVES and node.inputs[0] == name:
                fresh = [item for item in node.outputs if item and item not in seen]
                seen.update(fresh)
                waiting += fresh
    return found


def _rows(graph: Graph, node: Node) -> int:
    shape = graph.shape(node.inputs[0])
    return shape[int(node.attrs.get("axis", 0)) % len(shape)]
