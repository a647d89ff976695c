"""Scaling between LayerNormalization and the linear layers that read it: the same network, fewer outlier channels.

Channel j of the normalized tensor is divided by s_j in gain and bias, and row j of the weights that read it is
multiplied by s_j, which is exact in float. s_j = (peak_j / weight_j)^a with peak_j the largest |value| of the channel
on calibration images and weight_j the largest |weight| that reads it; a = 1/2 evens both out (Xiao et al. 2023,
SmoothQuant, section 4). Of a = 1/4, 1/2 and 3/4 the one is taken whose predicted noise at 8 bits is least, where that
is at least 1 dB below leaving the layer alone. Where others read the normalized tensor too (a residual sum behind the
normalization), they keep it, and the linear layers get a LayerNormalization of their own.

Predicted noise power of an output of a reader: steps t = max peak / 128 of the activation add t^2 w_j^2 / 12, summed
over j; steps u of the weights (one a tensor, or an output channel where the target has that) add u^2 x_j^2 / 12, with
(peak_j / 4)^2 for the mean of x_j^2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.names import FreeNames
from slimai.quantizer.plan import Decision
from slimai.quantizer.rewrites.equalization import Equalized

Vector = NDArray[np.float64]
EXPONENTS = (0.25, 0.5, 0.75)
LEAST_GAIN = 10.0**0.1  # 1 dB
LARGEST_FACTOR = 2.0**10
PEAK_OVER_MEAN = 4.0
_STEPS = 128.0


@dataclass(frozen=True)
class NormReaders:
    """A LayerNormalization over the last axis and the layers with constant weights [K, N] that read it.

    views: Reshapes between them. shared: whether others read it too.
    """

    norm: Node
    views: tuple[Node, ...]
    layers: tuple[Node, ...]
    shared: bool


def norms_with_readers(graph: Graph) -> Iterator[NormReaders]:
    """Yield every LayerNormalization with constant parameters that linear layers read."""
    for node in graph.nodes:
        if node.op != "LayerNormalization" or node.domain or not _over_last(graph, node):
            continue
        views, layers, others = _readers(graph, node.outputs[0])
        if layers and not _weights_read_elsewhere(graph, layers):
            yield NormReaders(node, tuple(views), tuple(layers), others)


def _over_last(graph: Graph, node: Node) -> bool:
    rank = len(graph.shape(node.inputs[0]))
    values = [graph.constant(name) for name in node.inputs[1:] if name]
    size = graph.shape(node.inputs[0])[-1:]
    alone = int(node.attrs["axis"]) % rank == rank - 1
    return alone and len(node.inputs) > 1 and all(value is not None and value.shape == size for value in values)


def _readers(graph: Graph, name: str) -> tuple[list[Node], list[Node], bool]:
    """Return (views, layers, whether others read the tensor)."""
    views: list[Node] = []
    layers: list[Node] = []
    others = name in graph.outputs
    for node in graph.consumers.get(name, ()):
        if _is_linear(graph, node, name):
            layers.append(node)
        elif node.op == "Reshape" and graph.shape(node.outputs[0])[-1:] == graph.shape(name)[-1:]:
            inner_views, inner, more = _readers(graph, node.outputs[0])
            if inner and not more:
                views += [node, *inner_views]
                layers += inner
            else:
                others = True
        else:
            others = True
    return views, layers, others


def _is_linear(graph: Graph, node: Node, name: str) -> bool:
    if node.domain or node.op not in {"MatMul", "Gemm"} or node.inputs[0] != name:
        return False
    weight = graph.constant(node.inputs[1])
    return weight is not None and weight.ndim == 2 and name not in node.inputs[1:]


def _weights_read_elsewhere(graph: Graph, layers: list[Node]) -> bool:
    own = {node.name for node in layers}
    return any(reader.name not in own for node in layers for reader in graph.consumers[node.inputs[1]])


def scale_through_norms(graph: Graph, peaks: Mapping[str, Vector], per_channel_ops: Collection[str]) -> Equalized:
    """Return the network with channels scaled between normalizations and linear layers, where that pays.

    peaks: output of a normalization -> [K] largest |value| of each channel of the last axis over some images.
    per_channel_ops: operators whose weights have one scale an output channel.
    """
    decisions = []
    for name in [found.norm.name for found in norms_with_readers(graph)]:
        found = next(item for item in norms_with_readers(graph) if item.norm.name == name)
        factor, change = _factor(graph, found, peaks[found.norm.outputs[0]], per_channel_ops)
        readers = ", ".join(node.name for node in found.layers)
        if factor is None:
            why = f"scaling of its channels against {readers} is predicted to change the noise by {change:+.1f} dB"
            decisions.append(Decision(name, "not equalized", why))
            continue
        graph = _scaled(graph, found, factor)
        why = f"factors {factor.min():.3g} to {factor.max():.3g}, read by {readers}, noise {change:+.1f} dB predicted"
        decisions.append(Decision(name, "channels equalized", why))
    return Equalized(graph, tuple(decisions))


def rows(graph: Graph, layer: Node) -> Vector:
    """Return the [K, N] weights of a linear layer."""
    value: Vector = graph.constants[layer.inputs[1]].astype(np.float64)
    return value.T if layer.op == "Gemm" and layer.attrs["transB"] else value


def _factor(
    graph: Graph, found: NormReaders, peak: Vector, per_channel_ops: Collection[str]
) -> tuple[Vector | None, float]:
    """Return the factors, or None, and the predicted change of the noise in dB; the least of the exponents'."""
    weights = [(rows(graph, node), node.op in per_channel_ops) for node in found.layers]
    largest = np.max([np.abs(value).max(axis=1) for value, _ in weights], axis=0)
    usable = (peak > 0) & (largest > 0)
    if not usable.any():
        return None, 0.0
    best: Vector | None = None
    before = _noise(weights, peak)
    least = np.inf
    for exponent in EXPONENTS:
        factor = np.ones_like(peak)
        factor[usable] = (peak[usable] / largest[usable]) ** exponent
        factor /= np.exp(np.log(factor[usable]).mean())
        factor = np.clip(np.where(usable, factor, 1.0), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
        noise = _noise([(value * factor[:, None], each) for value, each in weights], peak / factor)
        if noise < least:
            least, best = noise, factor
    change = 10 * np.log10(least / before) if before > 0 else 0.0
    return (best if least * LEAST_GAIN <= before else None), float(change)


def _noise(weights: list[tuple[Vector, bool]], peak: Vector) -> float:
    """Return the mean over outputs of the predicted noise power of all readers."""
    step = peak.max() / _STEPS
    power = (peak / PEAK_OVER_MEAN) ** 2
    total = 0.0
    for value, each in weights:
        steps = np.abs(value).max(axis=0 if each else None) / _STEPS
        total += float(step**2 * (value**2).sum(axis=0).mean() + np.mean(steps**2) * power.sum()) / 12
    return total


def _scaled(graph: Graph, found: NormReaders, factor: Vector) -> Graph:
    names = FreeNames.of(graph)
    norm, target = found.norm, found.norm.outputs[0]
    constants, parameters = {}, []
    for name in norm.inputs[1:]:
        new = names.take(f"{name}_scaled") if name else ""
        if name:
            constants[new] = (graph.constants[name] / factor).astype(np.float32)
        parameters.append(new)
    for weight in dict.fromkeys(node.inputs[1] for node in found.layers):
        turned = any(node.op == "Gemm" and node.attrs["transB"] for node in found.layers if node.inputs[1] == weight)
        along = factor[None, :] if turned else factor[:, None]
        constants[weight] = (graph.constants[weight] * along).astype(np.float32)
    output = names.take(f"{target}_scaled") if found.shared else target
    name = _free_node_name(graph, f"{norm.name}_scaled") if found.shared else norm.name
    own = Node(name, norm.op, (norm.inputs[0], *parameters), (output,), norm.attrs)
    moved = {node.name: _reading(node, target, output) for node in (*found.views, *found.layers)}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name == norm.name:
            nodes += [norm, own] if found.shared else [own]
        else:
            nodes.append(moved.get(node.name, node))
    return graph.edited(nodes, constants=constants, tensors=_described(graph, target, output))


def _described(graph: Graph, target: str, output: str) -> tuple[TensorInfo, ...]:
    return (replace(graph.tensors[target], name=output),) if output != target else ()


def _free_node_name(graph: Graph, base: str) -> str:
    name, number = base, 2
    while name in graph.by_name:
        name, number = f"{base}_{number}", number + 1
    return name


def _reading(node: Node, old: str, new: str) -> Node:
    return replace(node, inputs=tuple(new if name == old else name for name in node.inputs))
