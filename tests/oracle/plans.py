"""Small hand-made plans for tests: one operator, or a chain of them, with explicit parameters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.quantizer.params import INT_TYPES, IntType, QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan


def params(dtype: str, scale: float, zero_point: int = 0) -> QParams:
    return QParams(INT_TYPES[dtype], float(np.float32(scale)), zero_point)


def random_integers(rng, like: QParams | IntType, shape) -> np.ndarray:
    kind = like.dtype if isinstance(like, QParams) else like
    return rng.integers(kind.low, kind.high + 1, shape).astype(kind.numpy)


@dataclass
class Op:
    """One layer of a test network: operator, attributes, activations by name, constants."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: dict = field(default_factory=dict)
    weight: QWeight | None = None
    bias: np.ndarray | None = None
    operands: dict = field(default_factory=dict)
    activation: Node | None = None
    kind: str = ""


def build_plan(ops, shapes, tensors, inputs, outputs) -> QuantPlan:
    """Return the plan of `ops`; shapes: tensor -> shape; tensors: tensor -> QParams."""
    layers, nodes, constants = [], [], {}
    for index, item in enumerate(ops):
        names = list(item.inputs)
        for position in sorted(item.operands):
            names.insert(position, f"const_{index}_{position}")
            constants[names[position]] = item.operands[position][0]
        if item.weight is not None:
            names.append(f"w_{index}")
            constants[names[-1]] = item.weight.values
        written = f"{item.output}_pre" if item.activation is not None else item.output
        node = Node(f"{item.op}_{index}", item.op, tuple(names), (written,), item.attrs)
        activation = item.activation
        nodes.append(node)
        if activation is not None:
            activation = replace(activation, inputs=(written,), outputs=(item.output,))
            nodes.append(activation)
        layers.append(
            Layer(
                f"{item.op}_{index}__0", item.kind or item.op, node, item.inputs, (item.output,),
                weight=item.weight, bias=item.bias, operands=item.operands, activation=activation,
            )
        )  # fmt: skip
    infos = {name: TensorInfo(name, tuple(shape)) for name, shape in shapes.items()}
    for name, value in constants.items():
        infos[name] = TensorInfo(name, value.shape, value.dtype.name)
    graph = Graph("test", tuple(nodes), tuple(inputs), tuple(outputs), infos, constants)
    return QuantPlan(graph, tuple(layers), tensors, 1, {})


def one_op(op: Op, in_shapes, out_shape, ins, out: QParams | None) -> QuantPlan:
    """Return the plan of a single operator; in_shapes and ins: name -> shape / QParams."""
    tensors = dict(ins) if out is None else {**ins, op.output: out}
    return build_plan([op], {**in_shapes, op.output: out_shape}, tensors, tuple(in_shapes), (op.output,))


def around(rng, op, shape, out, attrs, x, y, operands=None):
    """Return the layer behind a MaxPool of one pixel, which makes its input lie channels-last, or alone."""
    if rng.integers(0, 2):
        names, before = ("p",), [Op("MaxPool", ("x",), "p", _pixel(len(shape) - 2))]
    else:
        names, before = ("x",), []
    item = Op(op, names, "y", attrs, operands=operands or {})
    shapes = {"x": shape, "p": shape, "y": out}
    return build_plan([*before, item], shapes, {"x": x, "p": x, "y": y}, ("x",), ("y",))


def _pixel(axes):
    ones = (1,) * axes
    return {"kernel_shape": ones, "strides": ones, "pads": (0,) * 2 * axes, "dilations": ones, "ceil_mode": 0}


def program(plan: QuantPlan, arithmetic: str, threads: int = 1, **target) -> Program:
    return compile_plan(plan, TargetSection(**target), arithmetic=arithmetic, threads=threads)
