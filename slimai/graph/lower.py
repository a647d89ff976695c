"""From canonical operators back to standard ONNX ones (opset 17 and later), still as values.

A composite is spelled out (SiLU -> Sigmoid, Mul); what ONNX wants as an input becomes a constant with a
name derived from the node's output, so that names stay the same from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isinf
from typing import Any

import numpy as np

from slimai.graph.ir import Array, Graph, Node
from slimai.graph.names import FreeNames
from slimai.graph.ops import ONNX_FORM, channel_limits


@dataclass
class Lowered:
    """ONNX nodes in order and the constants that they need beside the graph's own. wanted: tensors that are read."""

    opset: int
    batched: bool
    names: FreeNames
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()

    def constant(self, name: str, value: Any, dtype: str) -> str:
        """Add a constant and return its name; a taken one gets a number."""
        name = self.names.take(name)
        self.constants[name] = np.asarray(value, dtype=dtype)
        return name

    def add(
        self, node: Node, op: str, inputs: tuple[str, ...], output: str, attrs: Mapping[str, Any] | None = None
    ) -> str:
        """Add one ONNX node with a single output, the node's own or a new one, and return that output."""
        own = output == node.outputs[0]
        output = output if own else self.names.take(output)
        name = node.name if own else output
        self.nodes.append(Node(name, op, inputs, (output,), attrs or {}))
        return output


def lower(graph: Graph, *, batched: bool, wanted: Iterable[str] = ()) -> Lowered:
    """Return the ONNX form of every node; `batched` leaves axis 0 open where shapes are written out.

    wanted: tensors that are given as outputs beside the graph's own. What nobody reads and ONNX's operator does not
    give (the cells of an LSTM) is left out.
    """
    read = frozenset((*graph.consumers, *graph.outputs, *wanted))
    found = Lowered(graph.opsets.get("", 17), batched, FreeNames.of(graph), wanted=read)
    for node in graph.nodes:
        lower_node(found, graph, node)
    return found


def lower_node(out: Lowered, graph: Graph, node: Node) -> None:
    """Append the ONNX form of one node."""
    rule = _RULES.get(node.op) if node.domain == "" else None
    if rule is not None:
        rule(out, graph, node)
    elif node.domain == "" and node.op.startswith(ONNX_FORM):
        out.nodes.append(replace(node, op=node.op[len(ONNX_FORM) :]))
    else:
        out.nodes.append(node)


def _clip(out: Lowered, graph: Graph, node: Node) -> None:
    name = node.outputs[0]
    limits = channel_limits(node)
    if limits is not None:
        _clip_channels(out, graph, node, limits)
        return
    lo, hi = (
        "" if isinf(node.attrs[key]) else out.constant(f"{name}_{key}", node.attrs[key], "float32")
        for key in ("lo", "hi")
    )
    inputs = (node.inputs[0], lo, hi)
    out.add(node, "Clip", inputs[: 3 if hi else 2 if lo else 1], name)


def _clip_channels(out: Lowered, graph: Graph, node: Node, limits: tuple[float, ...]) -> None:
    """Relu, then Min with a constant [1, C, 1, ...]: Clip itself takes one limit."""
    y = node.outputs[0]
    shape = (1, len(limits), *(1,) * (len(graph.shape(y)) - 2))
    hi = out.constant(f"{y}_hi", np.reshape(limits, shape), "float32")
    out.add(node, "Min", (out.add(node, "Relu", node.inputs, f"{y}_relu"), hi), y)


def _requantize(out: Lowered, graph: Graph, node: Node) -> None:
    """The same real values on another grid: nothing, in float."""
    del graph
    out.add(node, "Identity", node.inputs, node.outputs[0])


def _gelu(out: Lowered, graph: Graph, node: Node) -> None:
    """An operator of opset 20; before it, x / 2 * (1 + erf(x / sqrt 2)) or its form by tanh is spelled out."""
    del graph
    (x,), y = node.inputs, node.outputs[0]
    if out.opset >= 20:
        out.nodes.append(node)
        return

    def by(op: str, source: str, name: str, value: float) -> str:
        return out.add(node, op, (source, out.constant(f"{y}_{name}_c", value, "float32")), f"{y}_{name}")

    if node.attrs["approximate"] == "tanh":
        square = out.add(node, "Mul", (x, x), f"{y}_square")
        cube = out.add(node, "Mul", (by("Mul", square, "small", 0.044715), x), f"{y}_cube")
        inner = by("Mul", out.add(node, "Add", (x, cube), f"{y}_inner"), "scaled", math.sqrt(2.0 / math.pi))
        squashed = out.add(node, "Tanh", (inner,), f"{y}_squashed")
    else:
        squashed = out.add(node, "Erf", (by("Mul", x, "scaled", math.sqrt(0.5)),), f"{y}_squashed")
    out.add(node, "Mul", (by("Mul", x, "half", 0.5), by("Add", squashed, "gate", 1.0)), y)


def _pow(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    y = node.outputs[0]
    out.add(node, "Pow", (node.inputs[0], out.constant(f"{y}_exponent", node.attrs["exponent"], "float32")), y)


def _rsqrt(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    y = node.outputs[0]
    out.add(node, "Reciprocal", (out.add(node, "Sqrt", node.inputs, f"{y}_sqrt"),), y)


def _squared_difference(out: Lowered, graph: Graph, node: Node) -> None:
    """An operator of TFLite: (a - b)^2."""
    del graph
    y = node.outputs[0]
    difference = out.add(node, "Sub", node.inputs, f"{y}_difference")
    out.add(node, "Mul", (difference, difference), y)


def _silu(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    (x,), y = node.inputs, node.outputs[0]
    out.add(node, "Mul", (x, out.add(node, "Sigmoid", (x,), f"{y}_sigmoid")), y)


def _mish(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    (x,), y = node.inputs, node.outputs[0]
    soft = out.add(node, "Softplus", (x,), f"{y}_softplus")
    out.add(node, "Mul", (x, out.add(node, "Tanh", (soft,), f"{y}_tanh")), y)


def _reduce(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    y, keep = node.outputs[0], {"keepdims": node.attrs["keepdims"]}
    if out.opset < 18 and node.op != "ReduceSum":
        out.add(node, node.op, node.inputs, y, {**keep, "axes": node.attrs["axes"]})
    else:
        axes = out.constant(f"{y}_axes", node.attrs["axes"], "int64")
        out.add(node, node.op, (*node.inputs, axes), y, keep)


def _indices(out: Lowered, node: Node) -> str:
    values = np.array(node.attrs["indices"], np.int64).reshape(node.attrs["shape"])
    return out.constant(f"{node.outputs[0]}_indices", values, "int64")


def _gather(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    inputs = (node.inputs[0], _indices(out, node))
    out.add(node, "Gather", inputs, node.outputs[0], {"axis": node.attrs["axis"]})


def _tile(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    repeats = out.constant(f"{node.outputs[0]}_repeats", node.attrs["repeats"], "int64")
    out.add(node, "Tile", (node.inputs[0], repeats), node.outputs[0])


def _scatter_nd(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    data, updates = node.inputs
    out.add(node, "ScatterND", (data, _indices(out, node), updates), node.outputs[0])


def _split(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    sizes = out.constant(f"{node.outputs[0]}_split", node.attrs["split"], "int64")
    out.nodes.append(replace(node, inputs=(node.inputs[0], sizes), attrs={"axis": node.attrs["axis"]}))


def _slice(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    y, attrs = node.outputs[0], node.attrs
    floor = int(np.iinfo(np.int64).min)  # a negative step that runs through element 0 has no non-negative end
    ends = [floor if end < 0 else end for end in attrs["ends"]]
    values = {"starts": attrs["starts"], "ends": ends, "axes": attrs["axes"], "steps": attrs["steps"]}
    names = tuple(out.constant(f"{y}_{key}", value, "int64") for key, value in values.items())
    out.add(node, "Slice", (node.inputs[0], *names), y)


def _pad(out: Lowered, graph: Graph, node: Node) -> None:
    y, mode = node.outputs[0], node.attrs["mode"]
    inputs = [node.inputs[0], out.constant(f"{y}_pads", node.attrs["pads"], "int64")]
    if mode == "constant":
        inputs.append(out.constant(f"{y}_value", node.attrs["value"], graph.tensors[node.inputs[0]].dtype))
    out.add(node, "Pad", tuple(inputs), y, {"mode": mode})


def _reshape(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    y, shape = node.outputs[0], list(node.attrs["shape"])
    if out.batched:
        shape[0] = 0  # ONNX: copy the size of this axis from the input
    out.add(node, "Reshape", (node.inputs[0], out.constant(f"{y}_shape", shape, "int64")), y)


def _resize(out: Lowered, graph: Graph, node: Node) -> None:
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    kept = {key: attrs[key] for key in ("mode", "coordinate_transformation_mode", "nearest_mode")}
    scales = np.array(attrs["scales"], dtype=np.float32)
    # Readers round the product in float32 or in double; scales are written only where both give the sizes.
    products = [np.array(graph.shape(x), dtype=kind) * scales.astype(kind) for kind in (np.float32, np.float64)]
    if all(tuple(np.floor(product).astype(int)) == tuple(attrs["sizes"]) for product in products):
        out.add(node, "Resize", (x, "", out.constant(f"{y}_scales", scales, "float32")), y, kept)
        return
    if out.batched:
        target = _batched_sizes(out, node, attrs["sizes"])
    else:
        target = out.constant(f"{y}_sizes", attrs["sizes"], "int64")
    out.add(node, "Resize", (x, "", "", target), y, kept)


def _batched_sizes(out: Lowered, node: Node, sizes: tuple[int, ...]) -> str:
    """Return the tensor [N, sizes without the first], computed from the input at run time."""
    y = node.outputs[0]
    batch = out.add(node, "Shape", (node.inputs[0],), f"{y}_batch", {"start": 0, "end": 1})
    rest = out.constant(f"{y}_rest", sizes[1:], "int64")
    return out.add(node, "Concat", (batch, rest), f"{y}_sizes", {"axis": 0})


def _pool(out: Lowered, graph: Graph, node: Node) -> None:
    del graph
    dilated = any(item != 1 for item in node.attrs["dilations"])
    drop = node.op == "AveragePool" and not dilated  # an attribute of opset 19
    out.nodes.append(
        replace(node, attrs={key: value for key, value in node.attrs.items() if not (drop and key == "dilations")})
    )


def _space_to_depth(out: Lowered, graph: Graph, node: Node) -> None:
    """The mode is an attribute of opset 28: the default needs none, CRD is spelled out."""
    block, y = int(node.attrs["blocksize"]), node.outputs[0]
    if node.attrs.get("mode", "DCR") == "DCR":
        out.add(node, "SpaceToDepth", node.inputs, y, {"blocksize": block})
        return
    count, channels, height, width = graph.shape(node.inputs[0])
    first = 0 if out.batched else count  # ONNX: 0 copies the size of this axis from the input
    parts = out.constant(f"{y}_parts", (first, channels, height // block, block, width // block, block), "int64")
    shape = out.constant(f"{y}_shape", (first, *graph.shape(y)[1:]), "int64")
    split = out.add(node, "Reshape", (node.inputs[0], parts), f"{y}_split")
    turned = out.add(node, "Transpose", (split,), f"{y}_turned", {"perm": (0, 1, 3, 5, 2, 4)})
    out.add(node, "Reshape", (turned, shape), y)


def _recurrent(out: Lowered, graph: Graph, node: Node) -> None:
    """ONNX's operator; the cells of all steps, where they are read, come from a second LSTM."""
    x, w, r, b, *states = node.inputs
    inputs = (x, w, r, b, *(("", *states) if states else ()))
    own, cells = node.outputs[: 3 if node.op == "LSTM" else 2], node.outputs[3:]
    kept = [name if name in out.wanted or name == node.outputs[0] else "" for name in own]
    while kept[-1] == "":
        kept.pop()
    out.nodes.append(replace(node, inputs=inputs, outputs=tuple(kept)))
    if cells and cells[0] in out.wanted:
        _cells(out, graph, node)


def _cells(out: Lowered, graph: Graph, node: Node) -> None:
    """The cells from input and output: an LSTM whose gates see the former output as an input, and that gives its cells.

    Its recurrent weights are 0, its output gate is 1 (sigmoid of 100), and what is applied to the cell is v -> 1 v + 0.
    """
    (x, w, r, b, *states), y, cells = node.inputs, node.outputs[0], node.outputs[3]
    steps, _, batch, units = graph.shape(y)
    backwards = node.attrs["direction"] == "reverse"
    weights, recurrent, bias = (graph.constants[name] for name in (w, r, b))
    both = bias.reshape(2, 4, units).sum(axis=0)
    both[1] = 100.0
    joined = np.concatenate([weights, recurrent], axis=2)
    joined[:, units : 2 * units] = 0.0
    former = []
    if steps > 1:
        shape = out.constant(f"{cells}_shape", (steps, batch, units), "int64")
        every = out.add(node, "Reshape", (y, shape), f"{cells}_h")
        names = (("starts", 1 if backwards else 0), ("ends", steps if backwards else steps - 1), ("axes", 0))
        bounds = tuple(out.constant(f"{cells}_{name}", [value], "int64") for name, value in names)
        former = [out.add(node, "Slice", (every, *bounds), f"{cells}_others")]
    initial = states[0] if states else out.constant(f"{cells}_h0", np.zeros((1, batch, units)), "float32")
    ordered = (*former, initial) if backwards else (initial, *former)
    before = out.add(node, "Concat", ordered, f"{cells}_before", {"axis": 0})
    sources = out.add(node, "Concat", (x, before), f"{cells}_sources", {"axis": 2})
    zeros = out.constant(f"{cells}_r", np.zeros(recurrent.shape), "float32")
    stacked = np.concatenate([both.reshape(1, -1), np.zeros((1, 4 * units))], axis=1)
    constants = (out.constant(f"{cells}_w", joined, "float32"), zeros, out.constant(f"{cells}_b", stacked, "float32"))
    given = ("", "", states[1]) if len(states) > 1 else ()
    attrs = {**node.attrs, "activations": ("Sigmoid", "Tanh", "Affine"), "activation_alpha": (1.0,),
             "activation_beta": (0.0,)}  # fmt: skip
    out.nodes.append(Node(cells, "LSTM", (sources, *constants, *given), (cells,), attrs))


_RULES: dict[str, Callable[[Lowered, Graph, Node], None]] = {
    "Clip": _clip,
    "Requantize": _requantize,
    "SiLU": _silu,
    "Mish": _mish,
    "Gelu": _gelu,
    "Pow": _pow,
    "Rsqrt": _rsqrt,
    "SquaredDifference": _squared_difference,
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"), _reduce),
    "Gather": _gather,
    "Tile": _tile,
    "ScatterND": _scatter_nd,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "AveragePool": _pool,
    "SpaceToDepth": _space_to_depth,
    "LSTM": _recurrent,
    "GRU": _recurrent,
}
