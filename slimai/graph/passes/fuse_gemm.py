"""Make MatMul and Add of a constant row one Gemm."""

from __future__ import annotations

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.pattern import made_by, per_channel, split_operands


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match Add(MatMul(x, W), c) with x of two axes."""
    if node.op != "Add" or (found := split_operands(graph, node)) is None:
        return None
    product, constant, _ = found
    matmul = made_by(graph, product, "MatMul")
    if matmul is None:
        return None
    a, b = matmul.inputs
    if len(graph.shape(a)) != 2 or b not in graph.constants or graph.constants[b].ndim != 2:
        return Refusal("a Gemm takes two axes and constant weights")
    value = per_channel(graph.constants[constant], 2, graph.shape(product)[1])
    if value is None:
        return Refusal("the constant is not one row")
    problem = removable(graph, [matmul], node)
    if problem:
        return Refusal(problem)
    bias = f"{node.outputs[0]}_bias"
    gemm = Node(matmul.name, "Gemm", (a, b, bias), node.outputs, {"transB": 0})
    return Replacement((gemm,), (matmul.name,), "Add is its bias", {bias: np.array(value, dtype=np.float32)})


FUSE_GEMM = Pass("fuse_gemm", match)
