"""Recognise LayerNormalization however it is spelled, and take a gain and bias behind one into it.

The nodes between a tensor and a result are taken as a function of a row of the normalized axes and computed in float64
for rows of several sizes: y = gain * (x - mean) / sqrt(variance + epsilon) + bias holds for all of them, or it is no
LayerNormalization. Which numbers are epsilon, gain and bias follows from the values alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.passes.base import Pass, Refusal, Replacement, removable
from slimai.graph.passes.elementwise import Values
from slimai.graph.passes.rows import REDUCTIONS, Operation, RowFunction, row_functions

LARGEST_EPSILON = 0.1
_ROWS = 16
_EXACT = 1e-6  # of an element's largest magnitude; float64 errs less


@dataclass(frozen=True)
class _Found:
    source: str
    nodes: tuple[Node, ...]
    axes: tuple[int, ...]
    epsilon: float
    gain: Values
    bias: Values


def match(graph: Graph, node: Node) -> Replacement | Refusal | None:
    """Match the last node of a LayerNormalization spelled out, or a Mul or Add by a row behind one."""
    found = _found(graph, node)
    if found is None or (not _trailing(graph, found) and _goes_on(graph, node)):
        return None
    problem = removable(graph, found.nodes[:-1], node)
    return Refusal(problem) if problem else _replacement(graph, found)


def _trailing(graph: Graph, found: _Found) -> bool:
    rank = len(graph.shape(found.source))
    return found.axes == tuple(range(rank - len(found.axes), rank))


def _goes_on(graph: Graph, node: Node) -> bool:
    """Return whether the only reader is part of the same normalization; a Transpose must not come between."""
    readers = graph.consumers.get(node.outputs[0], ())
    return len(readers) == 1 and node.outputs[0] not in graph.outputs and _found(graph, readers[0]) is not None


def _found(graph: Graph, last: Node) -> _Found | None:
    if last.op not in {"Add", "Sub", "Mul", "Div"} or last.domain:
        return None
    for rows in row_functions(graph, last, _axes_of, _OTHER):
        reductions = sum(node.op in REDUCTIONS for node in rows.nodes)
        if reductions >= 2 or any(node.op == "LayerNormalization" for node in rows.nodes):
            found = _as_normalization(graph, rows)
            if found is not None:
                return found
    return None


def _axes_of(node: Node, rank: int) -> tuple[int, ...] | None:
    if node.op != "LayerNormalization":
        return None
    return tuple(range(int(node.attrs.get("axis", -1)) % rank, rank))


def _layer_norm(node: Node, operands: Sequence[Values], axes: tuple[int, ...]) -> Values:
    found = _normalized(operands[0], axes, float(node.attrs.get("epsilon", 1e-5))) * operands[1]
    return found + operands[2] if len(operands) > 2 else found


_OTHER: Mapping[str, Operation] = {"LayerNormalization": _layer_norm}


def _normalized(x: Values, axes: tuple[int, ...], epsilon: float) -> Values:
    centred = x - x.mean(axis=axes, keepdims=True)
    found: Values = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + epsilon)
    return found


def _as_normalization(graph: Graph, rows: RowFunction) -> _Found | None:
    source, nodes, axes = rows.source, rows.nodes, rows.axes
    shape = graph.shape(source)
    for epsilon in _epsilons(graph, nodes):
        x = _rows(shape, axes, epsilon)
        y = rows(x)
        if not np.isfinite(y).all():
            continue
        unit = _normalized(x, axes, epsilon)
        spread = (unit**2).mean(axis=0) - unit.mean(axis=0) ** 2
        if not (spread > 0).all():
            return None  # a row of one element is normalized to nothing
        gain = ((unit * y).mean(axis=0) - unit.mean(axis=0) * y.mean(axis=0)) / spread
        bias = y.mean(axis=0) - gain * unit.mean(axis=0)
        size = np.abs(y).max(axis=0) + 1e-9 * np.abs(y).max()
        if (np.abs(gain * unit + bias - y) <= _EXACT * size).all() and np.abs(gain).max() > 0:
            return _Found(source, nodes, axes, epsilon, gain, bias)
    return None


def _epsilons(graph: Graph, nodes: tuple[Node, ...]) -> list[float]:
    """Return the numbers of the nodes that can be epsilon."""
    norms = [float(node.attrs.get("epsilon", 1e-5)) for node in nodes if node.op == "LayerNormalization"]
    values = [graph.constants[name] for node in nodes for name in node.inputs if name in graph.constants]
    small = [abs(float(value.reshape(-1)[0])) for value in values if value.size == 1]
    return list(dict.fromkeys([*norms, *(value for value in small if 0 < value <= LARGEST_EPSILON)]))


def _rows(shape: tuple[int, ...], axes: tuple[int, ...], epsilon: float) -> Values:
    """Return [16, ...] rows whose variance is about 1, and about epsilon, where its part is as large as theirs."""
    row = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))[1:]
    rows = np.random.default_rng(0).normal(size=(_ROWS, *row))
    rows[_ROWS // 2 :] *= np.sqrt(epsilon)
    return rows


def _replacement(graph: Graph, found: _Found) -> Replacement:
    last, shape = found.nodes[-1], graph.shape(found.source)
    rank, output = len(shape), last.outputs[0]
    rest = tuple(axis for axis in range(rank) if axis not in found.axes)
    perm = (*rest, *found.axes)
    inner = tuple(shape[axis] for axis in found.axes)
    constants: dict[str, Array] = {f"{output}_gain": found.gain.reshape(inner).astype(np.float32)}
    bias = found.bias.reshape(inner).astype(np.float32)
    if np.abs(bias).max() > _EXACT * max(1.0, float(np.abs(found.gain).max())):
        constants[f"{output}_bias"] = bias
    attrs = {"axis": len(rest), "epsilon": found.epsilon}
    spelled = ", ".join(dict.fromkeys(node.op for node in found.nodes))
    build = _in_order if perm == tuple(range(rank)) else _permuted(perm, tuple(shape[axis] for axis in perm))
    nodes, tensors = build(last, found.source, tuple(constants), attrs)
    gone = tuple(node.name for node in found.nodes[:-1])
    return Replacement(nodes, gone, f"LayerNormalization spelled with {spelled}", constants, tensors)


Built = tuple[tuple[Node, ...], tuple[TensorInfo, ...]]


def _in_order(last: Node, source: str, parameters: tuple[str, ...], attrs: Mapping[str, object]) -> Built:
    return (Node(last.name, "LayerNormalization", (source, *parameters), last.outputs, attrs),), ()


def _permuted(
    perm: tuple[int, ...], shape: tuple[int, ...]
) -> Callable[[Node, str, tuple[str, ...], Mapping[str, object]], Built]:
    """Return how it is written where the normalized axes are not the last: between two Transposes."""
    back = tuple(int(axis) for axis in np.argsort(perm))

    def build(last: Node, source: str, parameters: tuple[str, ...], attrs: Mapping[str, object]) -> Built:
        moved, normal = f"{last.outputs[0]}_last", f"{last.outputs[0]}_normal"
        nodes = (
            Node(f"{last.name}_last", "Transpose", (source,), (moved,), {"perm": perm}),
            Node(last.name, "LayerNormalization", (moved, *parameters), (normal,), attrs),
            Node(f"{last.name}_back", "Transpose", (normal,), last.outputs, {"perm": back}),
        )
        return nodes, (TensorInfo(moved, shape), TensorInfo(normal, shape))

    return build


FUSE_LAYER_NORM = Pass("fuse_layer_norm", match)
