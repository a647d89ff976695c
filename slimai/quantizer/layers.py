"""The float graph as layers: main operators with their activation folded in, and where each one runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS, is_depthwise
from slimai.quantizer.support import INTEGER_OPS, host_reason

CLAMPS = ("Relu", "Clip")


@dataclass(frozen=True)
class Step:
    """One layer to be: its main node, the folded clamp, and why it runs on the host (empty: it does not).

    inputs: activations read, in input order, each once a position. outputs: what other layers may read.
    """

    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: str
    activation: Node | None = None
    host: str = ""

    @property
    def integer(self) -> bool:
        """Whether it has an integer kernel."""
        return not self.host

    @property
    def name(self) -> str:
        """Name of the main node."""
        return self.node.name


def layer_steps(graph: Graph) -> tuple[Step, ...]:
    """Return the layers of `graph` in order; a clamp that folds into its producer is no layer of its own."""
    folded = {node.name: clamp for node in graph.nodes if (clamp := folded_clamp(graph, node)) is not None}
    absorbed = {clamp.name for clamp in folded.values()}
    return tuple(_step(graph, node, folded.get(node.name)) for node in graph.nodes if node.name not in absorbed)


def folded_clamp(graph: Graph, node: Node) -> Node | None:
    """Return the Relu or Clip that becomes the clamp of `node`, or None.

    It must be the only reader of the node's output, which is no network output.
    """
    if host_reason(graph, node) or not INTEGER_OPS[node.op].folds_clamp:
        return None
    reader = graph.only_consumer(node.outputs[0])
    if reader is None or reader.op not in CLAMPS or host_reason(graph, reader):
        return None
    return reader


def _step(graph: Graph, node: Node, clamp: Node | None) -> Step:
    inputs = tuple(name for name in node.inputs if name and name not in graph.constants)
    outputs = clamp.outputs if clamp is not None else tuple(name for name in node.outputs if name)
    kind = "DepthwiseConv" if is_depthwise(graph, node) else node.op
    return Step(node, inputs, outputs, kind, clamp, host_reason(graph, node))


def quantized_tensors(graph: Graph, steps: tuple[Step, ...] | None = None) -> tuple[str, ...]:
    """Return the activations that get integer parameters, in graph order.

    They are the float32 tensors that an integer layer reads or writes (so what only host layers see, and the
    index output of ArgMax, are left out). These are the tensors that calibration has to look at.
    """
    steps = layer_steps(graph) if steps is None else steps
    touched = {name for step in steps if step.integer for name in (*step.inputs, *step.outputs)}
    return tuple(name for name in graph.activations() if name in touched and graph.tensors[name].dtype == "float32")


def weighted_inputs(graph: Graph) -> frozenset[str]:
    """Return the activations that integer layers multiply by constant weights: bias correction wants their means."""
    return frozenset(
        step.inputs[0]
        for step in layer_steps(graph)
        if step.integer and step.inputs and TRAITS[step.node.op].weight is not None
    )


_KEEPS_SIGN = (
    *("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Split", "Slice", "Reshape", "Transpose"),
    *("DepthToSpace", "SpaceToDepth", "Concat", "Add", "Mul", "Resize", "Relu", "Clip", "PRelu", "LeakyRelu"),
    *("HardSwish", "SiLU", "Mish", "Sqrt", "Tanh", "Abs", "Exp"),
)
_NEVER_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt")


def nonnegative_tensors(graph: Graph, inputs: tuple[str, ...] = ()) -> frozenset[str]:
    """Return the tensors that cannot be negative, by what the operators are; constants by their values.

    inputs: network inputs known to be so (pixels without a mean).
    """
    found = {name for name, value in graph.constants.items() if value.size and bool((value >= 0).all())} | {*inputs}
    for node in graph.nodes:
        if _is_nonnegative(node, found):
            found.update(node.outputs)
    return frozenset(name for name in found if name not in graph.constants)


def _is_nonnegative(node: Node, known: set[str]) -> bool:
    if node.domain:
        return False
    if node.op in _NEVER_NEGATIVE or (node.op == "Clip" and node.attrs["lo"] >= 0):
        return True
    if node.op == "Clip" and np.min(node.attrs["hi"]) < 0:
        return False
    reads = [name for name in node.inputs if name]
    if node.op == "Pad":
        return node.attrs["value"] >= 0 and all(name in known for name in reads)
    return node.op in _KEEPS_SIGN and all(name in known for name in reads)
