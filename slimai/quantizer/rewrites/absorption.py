"""Bias absorption: what a channel always exceeds leaves its activation and moves into the next layer's bias.

For layer 1, Relu, layer 2: a channel that never falls below c > 0 has c taken from layer 1's bias, and layer 2's bias
gets W2 c (Nagel et al. 2019, Data-Free Quantization through Weight Equalization and Bias Correction, section 4.1.3).
Without data they take the mean - 3 sigma of batch normalization as c; here c is the smallest value over the calibration
images, which cuts off less (docs/accuracy.md has the figures of both). On other images a value below c ends at c: the
float network changes there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.ops import TRAITS, clamp_range, is_canonical, is_clamp, traits_of
from slimai.quantizer.plan import Decision
from slimai.quantizer.rewrites.channels import channels_stay
from slimai.quantizer.weight_layout import grouped

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Absorbed:
    """The rewritten network and what was done or left alone."""

    graph: Graph
    decisions: tuple[Decision, ...]


def absorb_biases(graph: Graph, extremes: Mapping[str, Vector]) -> Absorbed:
    """Return the network with constant parts of its channels moved into the biases of the layers that read them.

    extremes: activation -> [2, C] smallest and largest value of each channel over some images; where the values stay
    between them what the network computes is the same. Every reader has to be a Conv without padding or a Gemm (a zero
    beside the picture would have to be -c), behind operators that commute with a constant a channel; a network
    output, or anything else that reads, leaves the layer alone.
    """
    rewriter = _Rewriter(graph)
    layers = [node for node in graph.nodes if is_canonical(node) and TRAITS[node.op].has_bias]
    decisions = [_absorb(rewriter, _Reach.of(graph, node), extremes) for node in layers if node.outputs[0] in extremes]
    return Absorbed(rewriter.done(), tuple(decisions))


@dataclass
class _Reach:
    """Where a layer's output goes: clamps on the way, layers at the end, and what forbids the rewrite."""

    writer: Node
    clamps: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)
    forbidden: str = ""

    @classmethod
    def of(cls, graph: Graph, writer: Node) -> _Reach:
        """Return the way from `writer` to the layers that read it; it ends where something forbids it."""
        found = cls(writer, forbidden=_fixed_bias(graph, writer))
        open_ends = [writer.outputs[0]]
        while open_ends and not found.forbidden:
            tensor = open_ends.pop(0)
            if tensor in graph.outputs:
                found.forbidden = "holds a network output"
            for node in graph.consumers.get(tensor, ()):
                open_ends += found._pass(graph, node, tensor)
        return found

    def _pass(self, graph: Graph, node: Node, tensor: str) -> list[str]:
        """Take in a reader of `tensor`; return the tensor behind it when the constant passes through."""
        if _clamps_at_zero(node):
            self.clamps.append(node)
            return [node.outputs[0]]
        if _commutes(graph, node):
            return [node.outputs[0]]
        self.readers.append(node)
        self.forbidden = self.forbidden or _unfit(graph, node, tensor)
        return []


def _clamps_at_zero(node: Node) -> bool:
    if not is_clamp(node):
        return False
    low, high = clamp_range(node)
    return low == 0.0 < high


def _commutes(graph: Graph, node: Node) -> bool:
    """Return whether a constant added to a channel of the input is added to that channel of the output."""
    if not is_canonical(node):
        return False
    constant = TRAITS[node.op].constant
    return FORMULAS[node.op](graph, node) if constant == "formula" else constant == "always"


def _average(graph: Graph, node: Node) -> bool:
    del graph
    return not node.attrs["count_include_pad"] or not (any(node.attrs["pads"]) or node.attrs["ceil_mode"])


def _mean(graph: Graph, node: Node) -> bool:
    del graph
    return not {0, 1} & set(node.attrs["axes"]) and bool(node.attrs["keepdims"])


# Of the operators whose row in `slimai.graph.ops` says `formula`. (A MaxPool's padding is never the largest.)
FORMULAS: Mapping[str, Callable[[Graph, Node], bool]] = {
    "AveragePool": _average,
    "ReduceMean": _mean,
    "Reshape": channels_stay,
}


def _unfit(graph: Graph, node: Node, tensor: str) -> str:
    """Return why a reader cannot take a constant into its bias, or an empty string."""
    traits = traits_of(node)
    if traits is None or not traits.whole_windows:
        return f"{node.op} {node.name} has no bias to take it"
    if node.op == "Gemm" and len(graph.shape(tensor)) != 2:
        return f"{node.op} {node.name} is not a layer of channels"
    if node.inputs[0] != tensor or node.inputs[1] not in graph.constants:
        return f"{node.op} {node.name} computes its weights"
    if node.op == "Conv" and any(node.attrs["pads"]):
        return f"{node.op} {node.name} pads with zeros"
    return _fixed_bias(graph, node)


def _fixed_bias(graph: Graph, node: Node) -> str:
    """Return why a layer's bias cannot be changed, or an empty string."""
    if len(node.inputs) < 3 or not node.inputs[2]:
        return ""
    name = node.inputs[2]
    if name not in graph.constants:
        return f"{node.op} {node.name} computes its bias"
    if len(graph.consumers[name]) > 1:
        return f"{node.op} {node.name} shares its bias"
    if graph.constants[name].size != graph.shape(node.outputs[0])[1]:
        return f"{node.op} {node.name} has a bias that is not one number a channel"
    return ""


def _absorb(rewriter: _Rewriter, reach: _Reach, extremes: Mapping[str, Vector]) -> Decision:
    """Move what can be moved of one layer's output."""
    reason = reach.forbidden or ("" if reach.clamps else "no clamp at 0 behind it")
    if reason:
        return Decision(reach.writer.name, "bias not absorbed", reason)
    constant = _constant_part(reach, extremes)
    if not constant.any():
        return Decision(reach.writer.name, "bias not absorbed", "no channel stays above 0")
    rewriter.shift(reach.writer, -constant)
    for node in reach.readers:
        weights = rewriter.graph.constants[node.inputs[1]].astype(np.float64)
        rewriter.shift(node, _added_by(node, weights, constant))
    readers = ", ".join(node.name for node in reach.readers)
    why = f"{np.count_nonzero(constant)} channels by up to {constant.max():.3g}, read by {readers}"
    return Decision(reach.writer.name, "bias absorbed", why)


def _constant_part(reach: _Reach, extremes: Mapping[str, Vector]) -> Vector:
    """Return [C] c: the smallest value that enters a clamp on the way, or 0 where that is lower.

    A channel that an upper clamp cuts is left alone: it would need a limit of its own, hi - c.
    """
    found: Vector = np.full(extremes[reach.writer.outputs[0]].shape[1], np.inf)
    for node in reach.clamps:
        low, high = extremes[node.inputs[0]]
        uncut = (low > 0.0) & (high <= node.attrs.get("hi", np.inf))  # false for NaN, which calibration refuses
        found = np.minimum(found, np.where(uncut, low, 0.0))
    return found


def _added_by(node: Node, weights: Array, constant: Vector) -> Vector:
    """Return [O] what constant[i] in every place of input channel i adds to each output channel, without padding."""
    matrix = grouped(node, weights)
    groups, _, inputs, _ = matrix.shape
    added: Vector = np.einsum("goik,gi->go", matrix, constant.reshape(groups, inputs)).reshape(-1)
    return added


class _Rewriter:
    """Collects what is added to biases; layers without one get one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._added: dict[str, Vector] = {}

    def shift(self, node: Node, amount: Vector) -> None:
        """Add [O] to the node's bias."""
        self._added[node.name] = self._added.get(node.name, 0.0) + amount

    def done(self) -> Graph:
        """Return the graph with all that was added."""
        constants: dict[str, Array] = {}
        nodes = tuple(self._biased(node, constants) if node.name in self._added else node for node in self.graph.nodes)
        return self.graph.edited(nodes, constants=constants) if constants else self.graph

    def _biased(self, node: Node, constants: dict[str, Array]) -> Node:
        added = self._added[node.name]
        if len(node.inputs) > 2 and node.inputs[2]:
            bias = self.graph.constants[node.inputs[2]]
            constants[node.inputs[2]] = (bias.astype(np.float64) + added.reshape(bias.shape)).astype(np.float32)
            return node
        name = f"{node.outputs[0]}_absorbed"
        while name in self.graph.tensors:
            name += "_"
        constants[name] = added.astype(np.float32)
        return replace(node, inputs=(*node.inputs[:2], name))
