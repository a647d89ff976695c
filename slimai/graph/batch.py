"""Whether a network treats the images of a batch apart: axis 0 of every activation is the batch, and none mixes it.

A graph is held at batch 1. An operator whose input and output both have size 1 on axis 0 keeps the images
apart when each output row depends on one input row only; then the batch may be any N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS

Check = Callable[[Graph, Node], str]

# Operators outside the table of `slimai.graph.ops` that work element by element or along inner axes only.
_ELEMENTWISE = frozenset(
    {
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Sin",
        "Cos",
        "Not",
        "Cast",
        "IsNaN",
        "IsInf",
        "Shrink",
        "Atan",
        "Acos",
        "Asin",
        "Sinh",
        "Cosh",
        "Asinh",
        "Acosh",
        "Atanh",
        "Tan",
        "LRN",
        "GlobalLpPool",
        "LpPool",
        "BatchNormalization",
        "GroupNormalization",
        "QuantizeLinear",
        "DequantizeLinear",
    }
)
_BROADCAST = frozenset(
    {
        "Sum",
        "Mean",
        "Less",
        "Greater",
        "Equal",
        "LessOrEqual",
        "GreaterOrEqual",
        "And",
        "Or",
        "Mod",
    }
)
_BROADCAST |= {"OnnxPRelu", "OnnxClip", "OnnxWhere", "OnnxPow"}


def with_batch(graph: Graph) -> Graph:
    """Return the graph with `batchable` and, when it is not, the reason in `batch_note`."""
    note = batch_note(graph)
    return replace(graph, batchable=not note, batch_note=note)


def batch_note(graph: Graph) -> str:
    """Return why the batch is fixed to 1, or '' when any batch may be run."""
    for name in graph.inputs:
        if graph.shape(name)[:1] != (1,):
            return f"input '{name}' has the shape {graph.shape(name)}, without a batch axis of 1"
    constant = next((name for name in graph.outputs if name in graph.constants), None)
    if constant is not None:
        return f"output '{constant}' is a constant"
    for node in graph.nodes:
        problem = _mixed(graph, node)
        if problem:
            return f"{node.op} '{node.name}' {problem}"
    return ""


def _mixed(graph: Graph, node: Node) -> str:
    for name in node.outputs:
        if name and graph.shape(name)[:1] != (1,):
            return f"gives a tensor of the shape {graph.shape(name)}, without a batch axis of 1"
    activations = [name for name in node.inputs if name and name not in graph.constants]
    if not activations:
        return "does not depend on the input"
    traits = TRAITS.get(node.op)
    rule = traits.batch if traits is not None else "apart" if node.op in _ELEMENTWISE else "formula"
    if rule == "apart":
        return ""
    if rule == "broadcast" or node.op in _BROADCAST:
        return _broadcast(graph, node)
    check = FORMULAS.get(node.op)
    return check(graph, node) if check else "is not known to keep images apart"


def _broadcast(graph: Graph, node: Node) -> str:
    rank = len(graph.shape(node.outputs[0]))
    for name in filter(None, node.inputs):
        shape = graph.shape(name)
        if name in graph.constants:
            if len(shape) == rank and shape[0] != 1:
                return "combines a constant along the batch axis"
        elif len(shape) != rank:
            return "combines tensors of different rank"
    return ""


def _axis(attribute: str, default: int | None = None) -> Check:
    def check(graph: Graph, node: Node) -> str:
        axis = node.attrs.get(attribute, default)
        rank = len(graph.shape(node.inputs[0]))
        values = axis if isinstance(axis, tuple) else (axis,)
        return "works along the batch axis" if any(item is None or item % rank == 0 for item in values) else ""

    return check


def _concat(graph: Graph, node: Node) -> str:
    if any(name in graph.constants for name in node.inputs):
        return "appends a constant, which has no batch"
    return _axis("axis")(graph, node)


def _slice(graph: Graph, node: Node) -> str:
    del graph
    return "slices the batch axis" if 0 in node.attrs["axes"] else ""


def _pad(graph: Graph, node: Node) -> str:
    rank = len(graph.shape(node.inputs[0]))
    return "pads the batch axis" if node.attrs["pads"][0] or node.attrs["pads"][rank] else ""


def _transpose(graph: Graph, node: Node) -> str:
    del graph
    return "" if node.attrs["perm"][0] == 0 else "moves the batch axis"


def _reshape(graph: Graph, node: Node) -> str:
    return "" if graph.shape(node.inputs[0])[:1] == (1,) else "takes the batch from inner axes"


def _matmul(graph: Graph, node: Node) -> str:
    a, b = node.inputs[:2]
    ranks = len(graph.shape(a)), len(graph.shape(b))
    if b in graph.constants:
        shared = ranks[1] <= 2 or (ranks[1] <= ranks[0] and graph.shape(b)[0] == 1)
        return "" if shared and ranks[0] > 1 else "combines a constant along the batch axis"
    if a in graph.constants:
        shared = ranks[1] > 2 and (ranks[0] <= 2 or (ranks[0] <= ranks[1] and graph.shape(a)[0] == 1))
        return "" if shared else "combines a constant along the batch axis"
    return "" if ranks[0] == ranks[1] > 2 else "multiplies two activations across the batch axis"


def _gemm(graph: Graph, node: Node) -> str:
    if node.inputs[0] in graph.constants or node.inputs[1] not in graph.constants:
        return "multiplies two activations across the batch axis"
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    shape = graph.shape(bias) if bias in graph.constants else (1,)
    return "combines a constant along the batch axis" if len(shape) == 2 and shape[0] != 1 else ""


def _tile(graph: Graph, node: Node) -> str:
    del graph
    return "repeats the batch axis" if node.attrs["repeats"][0] != 1 else ""


def _scatter(graph: Graph, node: Node) -> str:
    del graph, node
    return "writes at places of the batch axis"


def _recurrent(graph: Graph, node: Node) -> str:
    del graph, node
    return "has its steps on the first axis"


def _normalized(graph: Graph, node: Node) -> str:
    return _axis("axis", -1)(graph, node)


def _reduce(graph: Graph, node: Node) -> str:
    axes = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else node.attrs.get("axes")
    rank = len(graph.shape(node.inputs[0]))
    if axes is None or any(int(item) % rank == 0 for item in axes):
        return "works along the batch axis"
    return ""


# Of the table's operators with a formula, and of some outside it.
FORMULAS: dict[str, Check] = {
    "Concat": _concat,
    "Slice": _slice,
    "Pad": _pad,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Gather": _axis("axis"),
    "Tile": _tile,
    "ScatterND": _scatter,
    "Softmax": _axis("axis"),
    "ArgMax": _axis("axis"),
    "Split": _axis("axis"),
    "ReduceMean": _axis("axes"),
    "Resize": lambda graph, node: "" if graph.shape(node.inputs[0])[0] == 1 else "resizes the batch axis",
    "LayerNormalization": _normalized,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "LogSoftmax": _normalized,
    **dict.fromkeys(("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"), _reduce),
    **dict.fromkeys(("ArgMin",), _axis("axis", 0)),
}
