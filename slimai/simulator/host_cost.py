"""What a layer costs that runs in float on the host: multiply-accumulates, or elements where it has none."""

from __future__ import annotations

import math

from slimai.graph.ir import Graph, Node

_RECURRENT = frozenset(("LSTM", "GRU", "RNN"))
_FILTERS = {
    "ConvInteger": 1,
    "QLinearConv": 3,
    "DeformConv": 1,
    "FusedConv": 1,
    "Conv": 1,
    "ConvTranspose": 1,
}  # place of the weights
_PRODUCTS = {"MatMulInteger": 1, "QLinearMatMul": 3, "FusedMatMul": 1, "MatMul": 1, "Gemm": 1, "FusedGemm": 1}
_VIEWS = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Size"))


def host_macs(graph: Graph, node: Node) -> int:
    """Return the multiply-accumulates of an operator outside of the integer kernels, for one image; 0 for others.

    Recurrent operators multiply what they read and what they hold by all their weights in every step; an Einsum takes
    one product for each combination of its letters.
    """
    op, inputs = node.op.removeprefix("Onnx"), node.inputs
    if any(name and name not in graph.tensors for name in inputs):
        return 0
    out = math.prod(graph.shape(node.outputs[0])) if node.outputs[0] in graph.tensors else 0
    if op in _RECURRENT:
        steps = math.prod(graph.shape(inputs[0])[:2])  # sequence and batch, in either order
        return steps * sum(math.prod(graph.shape(name)) for name in inputs[1:3])
    if op == "Einsum":
        return _einsum_macs(str(node.attrs["equation"]), [graph.shape(name) for name in inputs])
    if op in _FILTERS:
        size = math.prod(graph.shape(inputs[0])) if op == "ConvTranspose" else out
        return size * math.prod(graph.shape(inputs[_FILTERS[op]])[1:])
    if op in _PRODUCTS:
        inner = -2 if op in {"Gemm", "FusedGemm"} and node.attrs.get("transA") else -1
        return out * (graph.shape(inputs[0]) or (1,))[max(inner, -len(graph.shape(inputs[0]) or (1,)))]
    return 0


def host_work(graph: Graph, node: Node) -> int:
    """Return the multiply-accumulates of an operator, or the elements that it reads or writes, whichever are more.

    A Reshape and the like take nothing.
    """
    macs = host_macs(graph, node)
    if macs or node.op.removeprefix("Onnx") in _VIEWS:
        return macs
    sizes = [
        sum(math.prod(graph.shape(name)) for name in names if name in graph.tensors and name not in graph.constants)
        for names in (dict.fromkeys(node.inputs), node.outputs)
    ]
    return max(sizes)


def _einsum_macs(equation: str, shapes: list[tuple[int, ...]]) -> int:
    """Return the product of the sizes of all letters, and of what an ellipsis stands for; 0 with one operand."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) < 2 or len(terms) != len(shapes):
        return 0
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        hidden = [f"...{place}" for place in range(len(shape) - len(before) - len(after), 0, -1)] if dots else []
        for letter, size in zip((*before, *hidden, *after), shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return math.prod(sizes.values())
