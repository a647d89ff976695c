"""Fold Mul, Div, Add and Sub by constants into the layers that read the result.

Behind an activation there is no layer before to take them. One factor for all channels goes into the weights of the
readers, a constant a channel into their biases; each saves the network a rounding of all elements. A reader that pads
with zeros cannot take the constant: then x f + c becomes (x + c / f), and the readers take f.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.ops import traits_of
from slimai.graph.passes.base import Pass, Refusal, Replacement
from slimai.graph.passes.fold_scale import as_affine
from slimai.graph.passes.pattern import per_channel, split_operands


@dataclass(frozen=True, eq=False)
class _Chain:
    """`source` * factor + shift, as `nodes` compute it, the last one first; factor: of all channels, shift: [C]."""

    source: str
    factor: float
    shift: Array
    nodes: tuple[Node, ...]


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match the last of such operators in front of layers with constant weights, and of nothing else."""
    readers = graph.consumers.get(node.outputs[0], ())
    if not readers or node.outputs[0] in graph.outputs or not all(_takes(graph, item, node) for item in readers):
        return None
    chain = _chain(graph, node)
    if chain is None:
        return None
    if not all(item.op == "MatMul" or _channels(item) for item in readers):
        return None
    moved = not chain.shift.any() or _shift_fits(graph, chain, readers)
    if not moved and chain.factor == 1.0:
        return Refusal("zeros around what a reader sees, or the pixels of an input, are not to be moved")
    if chain.factor == 0.0 or not np.isfinite(chain.factor) or not np.isfinite(chain.shift / chain.factor).all():
        return Refusal("a factor is zero or not finite")
    return _replaced(graph, node, chain, readers, moved=moved)


def _takes(graph: Graph, reader: Node, node: Node) -> bool:
    """Return whether the reader multiplies the node's output by constants, and adds none but constants."""
    traits = traits_of(reader)
    if traits is None or traits.family != "matrix" or reader.inputs.count(node.outputs[0]) != 1:
        return False
    first, *constants = reader.inputs
    return first == node.outputs[0] and all(not name or name in graph.constants for name in constants)


def _channels(reader: Node) -> bool:
    return reader.op in ("Conv", "ConvTranspose", "Gemm")


def _chain(graph: Graph, node: Node) -> _Chain | None:
    """Return the longest run of such operators that ends in the node, each the only reader of the one before."""
    found = _affine(graph, node)
    while found is not None and graph.only_consumer(found.source) is not None:
        before = graph.producers.get(found.source)
        above = None if before is None else _affine(graph, before)
        if above is None:
            break
        shift = found.factor * above.shift + found.shift
        found = _Chain(above.source, found.factor * above.factor, shift, (*found.nodes, *above.nodes))
    return found


def _affine(graph: Graph, node: Node) -> _Chain | None:
    """Return what one operator by a constant does, or None: another one, or one with a factor a channel."""
    if node.op not in {"Mul", "Div", "Add", "Sub"} or node.domain or (found := split_operands(graph, node)) is None:
        return None
    source, constant, position = found
    shape = graph.shape(source)
    if len(shape) < 2 or shape != graph.shape(node.outputs[0]) or (node.op == "Div" and position == 0):
        return None
    value = per_channel(graph.constants[constant], len(shape), shape[1])
    if value is None or graph.constants[constant].dtype != np.float32:
        return None
    factor, shift = as_affine(node.op, value, position)
    return _Chain(source, float(factor[0]), shift, (node,)) if (factor == factor[0]).all() else None


def _shift_fits(graph: Graph, chain: _Chain, readers: tuple[Node, ...]) -> bool:
    """Return whether every reader adds the shift to all its outputs alike.

    Not behind an input of the network: its pixels have a mean that would multiply the rounding of the weights.
    """
    whole = all((traits := traits_of(item)) is not None and traits.whole_windows for item in readers)
    padded = any(item.op == "Conv" and any(item.attrs["pads"]) for item in readers)
    rank = len(graph.shape(chain.source))
    flat = all(item.op != "Gemm" or rank == 2 for item in readers)
    return whole and flat and not padded and chain.source not in graph.inputs


def _replaced(graph: Graph, node: Node, chain: _Chain, readers: tuple[Node, ...], *, moved: bool) -> Replacement:
    source, nodes = chain.source, []
    constants: dict[str, Array] = {}
    tensors = []
    if not moved:
        source, name = f"{node.outputs[0]}_unscaled", f"{node.outputs[0]}_shift"
        shape = graph.shape(chain.source)
        shift = (chain.shift / chain.factor).reshape(-1, *(1,) * (len(shape) - 2))
        constants[name] = shift.astype(np.float32)
        tensors.append(TensorInfo(source, shape, graph.tensors[chain.source].dtype))
        nodes.append(Node(node.name, "Add", (chain.source, name), (source,)))
    for reader in readers:
        made, values = _reader(graph, reader, source, chain, moved=moved)
        nodes.append(made)
        constants |= values
    gone = tuple(item.name for item in (*chain.nodes, *readers))
    into = ", ".join(f"'{item.name}'" for item in readers)
    return Replacement(tuple(nodes), gone, f"folded ahead into {into}", constants, tuple(tensors))


def _reader(graph: Graph, reader: Node, source: str, chain: _Chain, *, moved: bool) -> tuple[Node, dict[str, Array]]:
    """Return the layer that reads `source` in place of the chain's end, and its constants."""
    weight = graph.constants[reader.inputs[1]].astype(np.float64)
    names = [f"{reader.outputs[0]}_weight_ahead"]
    values = [weight * chain.factor]
    if moved and chain.shift.any():
        has_bias = len(reader.inputs) > 2 and bool(reader.inputs[2])
        bias = graph.constants[reader.inputs[2]].astype(np.float64) if has_bias else 0.0
        names.append(f"{reader.outputs[0]}_bias_ahead")
        values.append(bias + _constant_output(reader, weight, chain.shift))
    else:
        names += reader.inputs[2:]
    constants = {name: value.astype(np.float32) for name, value in zip(names, values, strict=False)}
    return Node(reader.name, reader.op, (source, *names), reader.outputs, reader.attrs), constants


def _constant_output(reader: Node, weight: Array, shift: Array) -> Array:
    """Return [O], what a constant a channel makes of an unpadded Conv or a Gemm without bias."""
    if reader.op == "Gemm":
        product: Array = weight @ shift if reader.attrs["transB"] else shift @ weight
        return product
    groups = int(reader.attrs["group"])
    kernels = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).sum(axis=3)
    return np.asarray(np.einsum("goi,gi->go", kernels, shift.reshape(groups, -1)).reshape(-1))


FOLD_SCALE_AHEAD = Pass("fold_scale_ahead", match, requires=("fold_scale",))
