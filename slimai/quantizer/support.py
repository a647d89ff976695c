"""Which operators run in integers on the target, and why another one runs in float on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slimai.graph.ir import Graph, Node

# free: the output has its own scale. same: output integers are input integers, so one scale. fixed: see FIXED_SCALES.
ScaleRule = Literal["free", "same", "concat", "fixed", "index"]


@dataclass(frozen=True)
class IntegerOp:
    """Traits of an operator with an integer kernel.

    scale: how the output's parameters relate to the inputs'. folds_clamp: a following Relu or Clip becomes its clamp.
    """

    scale: ScaleRule = "free"
    folds_clamp: bool = False


_SUMS = IntegerOp(folds_clamp=True)
_TABLE = IntegerOp()
_MOVE = IntegerOp(scale="same")
_FIXED = IntegerOp(scale="fixed")

INTEGER_OPS: dict[str, IntegerOp] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul"), _SUMS),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean"), _SUMS),
    **dict.fromkeys(("Relu", "Clip", "LeakyRelu", "PRelu", "HardSigmoid", "HardSwish", "SiLU", "Mish"), _TABLE),
    **dict.fromkeys(("Sigmoid", "Tanh", "Softmax"), _FIXED),
    **dict.fromkeys(("MaxPool", "Split", "Slice", "Pad", "Reshape", "Transpose", "Resize"), _MOVE),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _MOVE),
    "Concat": IntegerOp(scale="concat"),
    "ArgMax": IntegerOp(scale="index"),
}

_SPATIAL = {"Conv": (3, 4), "ConvTranspose": (3, 4), "MaxPool": (3, 4), "AveragePool": (3, 4), "Resize": (3, 4)}


def host_reason(graph: Graph, node: Node) -> str:
    """Return why `node` has no integer kernel, or an empty string when it has one."""
    if node.domain or node.op not in INTEGER_OPS:
        return f"{node.op.removeprefix('Onnx')} has no integer kernel"
    reads = [name for name in node.inputs if name and name not in graph.constants]
    if not reads:
        return "all inputs are constants"
    for name in (*reads, *(node.outputs if node.op != "ArgMax" else ())):
        dtype = graph.tensors[name].dtype
        if dtype != "float32":
            return f"tensor {name} is {dtype}, not float32"
    return _shape_reason(graph, node) or _constant_reason(graph, node)


def _shape_reason(graph: Graph, node: Node) -> str:
    rank = len(graph.shape(node.inputs[0]))
    allowed = _SPATIAL.get(node.op)
    if allowed is not None and rank not in allowed:
        return f"{node.op} on {rank} axes has no integer kernel (1-D and 2-D have)"
    return ""


def _constant_reason(graph: Graph, node: Node) -> str:
    """Return what is wrong with the weights, biases or slopes, or an empty string."""
    for position, what in ((1, "weights"), (2, "bias")):
        name = node.inputs[position] if len(node.inputs) > position else ""
        if node.op in ("Conv", "ConvTranspose", "Gemm") and name and name not in graph.constants:
            return f"the {what} of {node.op} are computed, not constant"
    if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu") and node.inputs[0] in graph.constants:
        return f"the first input of {node.op} is a constant"
    if node.op == "PRelu" and node.inputs[1] not in graph.constants:
        return "the slope of PRelu is computed, not constant"
    return ""
