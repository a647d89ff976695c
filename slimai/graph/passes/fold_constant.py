"""Replace operators whose inputs are all constants by their value."""

from __future__ import annotations

from math import prod

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.optimize import evaluate
from slimai.graph.passes.base import Pass, Refusal, Replacement

# A larger constant would make the saved model big without making it faster.
LARGEST_BYTES = 64 * 2**20
# Random operators have no fixed value.
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
# They carry the parameters of a quantized model.
_QUANTIZE = frozenset({"QuantizeLinear", "DequantizeLinear"})


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match a standard operator on constants, or the Shape of a tensor; quantized constants stay as they are."""
    return None if node.op in _QUANTIZE else match_any(graph, node)


def match_any(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match a standard operator on constants, or the Shape of a tensor: in a float network all are values."""
    if node.domain or node.op in _RANDOM:
        return None
    if node.op == "Shape" and node.inputs[0] not in graph.constants:
        return Replacement((), (), "the shape is fixed", constants={node.outputs[0]: _shape(graph, node)})
    if not all(name in graph.constants for name in node.inputs if name):
        return None
    size = max(prod(graph.shape(name)) * np.dtype(graph.tensors[name].dtype).itemsize for name in node.outputs if name)
    if size > LARGEST_BYTES:
        return Refusal(f"its value would take {size} bytes")
    return Replacement((), (), "all its inputs are constants", constants=_evaluated(graph, node))


def _shape(graph: Graph, node: Node) -> Array:
    rank = len(graph.shape(node.inputs[0]))
    start, end = node.attrs.get("start", 0), node.attrs.get("end", rank)
    return np.array(graph.shape(node.inputs[0])[slice(start, end)], dtype=np.int64)


def _evaluated(graph: Graph, node: Node) -> dict[str, Array]:
    from slimai.graph.save import subgraph, to_onnx  # noqa: PLC0415 - spares onnx

    part = subgraph(graph, [node])
    return dict(zip(part.outputs, evaluate(to_onnx(part).SerializeToString(), {}, part.outputs), strict=True))


FOLD_CONSTANT = Pass("fold_constant", match)
FOLD_ANY_CONSTANT = Pass("fold_constant", match_any)
