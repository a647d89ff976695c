"""Which operators run in integers on the target, and why another one runs in float on the host."""

from __future__ import annotations

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import ONNX_FORM, TRAITS, traits_of
from slimai.graph.recurrent import RECURRENT, no_kernel_reason


def host_reason(graph: Graph, node: Node) -> str:
    """Return why `node` has no integer kernel, or an empty string when it has one."""
    traits = traits_of(node)
    if traits is None or not traits.integer:
        op = node.op.removeprefix(ONNX_FORM)
        own = no_kernel_reason(graph, node) if op in RECURRENT and not node.domain else ""
        return own or f"{op} has no integer kernel"
    reads = [name for name in node.inputs if name and name not in graph.constants]
    if not reads:
        return "all inputs are constants"
    for name in (*reads, *(filter(None, node.outputs) if traits.scale != "index" else ())):
        dtype = graph.tensors[name].dtype
        if dtype != "float32":
            return f"tensor {name} is {dtype}, not float32"
    return _shape_reason(graph, node) or _constant_reason(graph, node)


def _shape_reason(graph: Graph, node: Node) -> str:
    rank = len(graph.shape(node.inputs[0]))
    allowed = TRAITS[node.op].ranks
    if allowed and rank not in allowed:
        return f"{node.op} on {rank} axes has no integer kernel (1-D to {max(allowed) - 2}-D have)"
    return ""


def _constant_reason(graph: Graph, node: Node) -> str:
    """Return what is wrong with the weights, biases or slopes, or an empty string."""
    traits = TRAITS[node.op]
    if traits.weight is None:
        return ""
    for position, what in ((traits.weight, "weights"), (traits.bias, "bias")) if traits.has_bias else ():
        name = node.inputs[position] if position is not None and len(node.inputs) > position else ""
        if name and name not in graph.constants:
            return f"the {what} of {node.op} are computed, not constant"
    if node.inputs[0] in graph.constants:
        return f"the first input of {node.op} is a constant"
    if not traits.two_activations and node.inputs[traits.weight] not in graph.constants:
        return f"the slope of {node.op} is computed, not constant"
    return ""
