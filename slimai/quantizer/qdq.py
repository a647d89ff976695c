"""The deployable model: the integer network as a QDQ ONNX that any ONNX Runtime runs (SPEC 8.6).

Every quantized tensor passes QuantizeLinear -> DequantizeLinear with the plan's parameters, weights are
integer initializers behind a DequantizeLinear (those of 4 bits int4, which needs operator set 21), biases s32
initializers at scale s_x * s_w. Host layers stay in float between. 16-bit types need operator set 21 too; there the
bias is s32 at a scale of its own, and no exactness is claimed. A divisor of 0 is written as 2^-126: 0 / 0 is 0, as in
integers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.names import FreeNames
from slimai.graph.ops import TRAITS
from slimai.graph.passes.drop_divisor_guard import SMALLEST
from slimai.quantizer.insert_requantize import REQUANTIZE
from slimai.quantizer.params import S4, QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.quantizer.weight_layout import WeightLayout, weight_layout

if TYPE_CHECKING:
    import onnx

OPSET_8BIT, OPSET_NEW = 17, 21  # 16-bit and 4-bit types came with 21


def to_qdq(plan: QuantPlan, *, spelled_out: Collection[str] = ()) -> onnx.ModelProto:
    """Return the QDQ model of a plan, checked; batch is open when the network allows it.

    Inputs and outputs are float and bear the network's own names.

    Args:
        plan: the integer network.
        spelled_out: activations whose DequantizeLinear is written as one of scale 1 and a product with the scale: the
            same float32 values, but no form that ONNX Runtime fuses with what reads them.
    """
    from onnx import checker  # noqa: PLC0415 - spares onnx

    from slimai.graph.save import to_onnx  # noqa: PLC0415 - spares onnx

    graph = qdq_graph(plan, spelled_out)
    model = to_onnx(graph, batch="N" if graph.batchable else 1)
    checker.check_model(model, full_check=True)
    return model


def qdq_graph(plan: QuantPlan, spelled_out: Collection[str] = ()) -> Graph:
    """Return the float graph of the plan with QuantizeLinear and DequantizeLinear nodes in it; see `to_qdq`."""
    from slimai.graph.later_form import in_operator_set  # noqa: PLC0415 - spares onnx

    graph = _Writer(plan, frozenset(spelled_out)).write()
    grids = [*plan.tensors.values(), *(grid for layer in plan.layers for _, grid in layer.operands.values())]
    narrow = any(layer.weight is not None and layer.weight.dtype == S4 for layer in plan.layers)
    opset = OPSET_NEW if narrow or any(params.dtype.bits == 16 for params in grids) else OPSET_8BIT
    return in_operator_set(graph, max(opset, graph.opsets.get("", opset)))


@dataclass
class _Writer:
    """Collects nodes and constants.

    read_as: tensor -> the name that a consumer of its integers reads. fresh: tensor of the host layers that follow each
    other -> its name before it is rounded, which they read of each other, as the simulator runs them.
    """

    plan: QuantPlan
    spelled_out: frozenset[str] = frozenset()
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    infos: list[TensorInfo] = field(default_factory=list)
    read_as: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    names: FreeNames = field(init=False)

    def __post_init__(self) -> None:
        """Take the network's own names, so that no new one equals one of them."""
        self.names = FreeNames.of(self.plan.graph)

    def write(self) -> Graph:
        graph = self.plan.graph
        for name in graph.inputs:
            if name in self.plan.tensors:
                self.read_as[name] = self.names.take(f"{name}__dq")
                self._round_trip(name, self.read_as[name], name, self.plan.tensors[name])
        for layer in self.plan.layers:
            self._layer(layer)
        return graph.edited(self.nodes, constants=self.constants, tensors=self.infos)

    def _layer(self, layer: Layer) -> None:
        if layer.mode == "integer":
            self.fresh.clear()
        read_as = {**self.read_as, **self.fresh}
        node = replace(layer.node, inputs=tuple(read_as.get(name, name) for name in layer.node.inputs))
        if layer.mode == "integer":
            node = self._with_constants(layer, node)
        made = [node] if layer.activation is None else [node, layer.activation]
        read = (*self.plan.graph.consumers, *self.plan.graph.outputs)
        several = len(layer.outputs) > 1  # of which some may be of use to nobody
        named = (name for name in layer.outputs if name in self.plan.tensors and (not several or name in read))
        renames = {name: self._float_name(name) for name in named}
        for item in made:
            outputs = tuple(renames.get(name, name) for name in item.outputs)
            if item.op == REQUANTIZE:
                renames[item.outputs[0]] = item.inputs[0]
            else:
                self.nodes.append(replace(item, outputs=outputs))
        if layer.mode == "host":
            self.fresh.update(renames)
        for name, source in renames.items():
            self._round_trip(source, name, name, self.plan.tensors[name])

    def _float_name(self, name: str) -> str:
        """Return the name of the value before it is rounded."""
        source = self.names.take(f"{name}__float")
        self._describe(source, name, "float32")
        return source

    def _with_constants(self, layer: Layer, node: Node) -> Node:
        """Return the node reading its weights, bias and operands from integer initializers."""
        inputs = list(node.inputs)
        if layer.weight is not None:
            position = next(i for i, name in enumerate(layer.node.inputs) if name in self.plan.graph.constants)
            inputs[position] = self._weight(layer, layer.weight)
        if layer.bias is not None and layer.weight is not None:
            inputs[TRAITS[layer.node.op].bias :] = [self._bias(layer, layer.weight, layer.bias)]
        for position, matrix in layer.matrices.items():
            inputs[position] = self._matrix(self.names.take(f"{layer.name}__matrix{position}"), matrix)
        for position, (values, params) in layer.operands.items():
            name = self.names.take(f"{layer.name}__operand{position}")
            inputs[position] = self._constant(name, values, np.array([params.scale]), params.zero_point, None)
        if node.op == "Div" and 1 not in layer.operands:
            inputs[1] = self._without_zero(inputs[1], layer.node.inputs[1])
        return replace(node, inputs=tuple(inputs))

    def _without_zero(self, divisor: str, like: str) -> str:
        """Return the divisor with 2^-126 for 0: 0 / 0 is 0 in integers, and no number in float."""
        zero, least = self.names.take(f"{divisor}__zero"), self.names.take(f"{divisor}__least")
        self.constants[zero] = np.array(0.0, np.float32)
        self.constants[least] = np.array(SMALLEST, np.float32)
        mask, found = self.names.take(f"{divisor}__is_zero"), self.names.take(f"{divisor}__not_zero")
        for name, dtype in ((mask, "bool"), (found, "float32")):
            self._describe(name, like, dtype)
        for name in (zero, least):
            self._describe_constant(name, ())
        self.nodes.append(Node(self.names.take(f"{mask}__Equal"), "Equal", (divisor, zero), (mask,)))
        self.nodes.append(Node(self.names.take(f"{found}__Where"), "Where", (mask, least, divisor), (found,)))
        return found

    def _weight(self, layer: Layer, weight: QWeight) -> str:
        name = self.names.take(f"{layer.name}__weight")
        layout = weight_layout(layer.node, weight.values.shape)
        if weight.per_channel and layout.groups > 1:
            return self._grouped_weight(name, weight, layout)
        axis = layout.axis if weight.per_channel else None
        return self._constant(name, _file_integers(weight), weight.scale, weight.zero_point, axis)

    def _grouped_weight(self, name: str, weight: QWeight, layout: WeightLayout) -> str:
        """Add the weights of a grouped ConvTranspose as integers at scale 1, times the scales of their outputs.

        It has more output channels than its weight has along that axis. Never plain floats: ONNX Runtime would round
        them to 8 bits with one scale for all.
        """
        plain = self._constant(
            self.names.take(f"{name}__plain"), _file_integers(weight), np.ones(1), weight.zero_point, None
        )
        scales = self.names.take(f"{name}__scales")
        self.constants[scales] = layout.spread(weight.scale, weight.values.shape).astype(np.float32)
        self._describe_constant(name, weight.values.shape)
        self._multiply(plain, scales, name)
        return name

    def _bias(self, layer: Layer, weight: QWeight, bias: Array) -> str:
        name = self.names.take(f"{layer.name}__bias")
        params = self.plan.tensors[layer.inputs[0]]
        scale = np.float32(params.scale) * weight.scale.astype(np.float32)
        small = np.abs(bias).max(initial=0) < 2**31 and params.dtype.bits == 8
        axis = 0 if weight.per_channel else None
        if not small:
            # never a plain float: ONNX Runtime would round it to s32 at s_x * s_w, where it does not fit
            real = bias * params.scale * weight.scale
            largest = np.abs(real) if weight.per_channel else np.abs(real).max(keepdims=True, initial=0)
            scale = np.maximum(largest * 2.0**-30, np.finfo(np.float32).tiny).astype(np.float32)
            bias = np.rint(real / scale.astype(np.float64))
        return self._constant(name, bias.astype(np.int32), scale, 0, axis)

    def _matrix(self, name: str, matrix: QWeight) -> str:
        """Add weights or biases of a recurrent layer; biases that s32 does not hold get scales of their own."""
        values, scale = matrix.values, matrix.scale
        if matrix.dtype.bits > 16 and np.abs(values).max(initial=0) >= 2**31:
            real = values * scale
            scale = np.maximum(np.abs(real[0]) * 2.0**-30, np.finfo(np.float32).tiny).astype(np.float32)
            values = np.rint(real / scale.astype(np.float64))
        kind = np.int32 if matrix.dtype.bits > 16 else values.dtype
        return self._constant(name, values.astype(kind), scale, 0, matrix.axis)

    def _constant(self, name: str, values: Array, scale: Array, zero_point: int, axis: int | None) -> str:
        """Add an integer initializer behind a DequantizeLinear and return the float name."""
        quantized = self.names.take(f"{name}__q")
        self.constants[quantized] = values
        self._describe_constant(name, values.shape)
        parameters = self._parameters(name, scale, zero_point, values.dtype, axis)
        self._linear("DequantizeLinear", (quantized, *parameters), name, axis)
        return name

    def _round_trip(self, source: str, target: str, stem: str, params: QParams) -> None:
        """Add source -> QuantizeLinear -> DequantizeLinear -> target."""
        parameters = self._parameters(stem, np.array([params.scale]), params.zero_point, params.dtype.numpy, None)
        quantized = self.names.take(f"{stem}__q")
        self._describe(quantized, stem, params.dtype.numpy.name)
        self._describe(target, stem, "float32")
        self._linear("QuantizeLinear", (source, *parameters), quantized, None)
        if stem not in self.spelled_out:
            self._linear("DequantizeLinear", (quantized, *parameters), target, None)
            return
        plain = self.names.take(f"{stem}__plain")
        self._describe(plain, stem, "float32")
        ones = self._parameters(plain, np.ones(1), params.zero_point, params.dtype.numpy, None)
        self._linear("DequantizeLinear", (quantized, *ones), plain, None)
        self._multiply(plain, parameters[0], target)

    def _parameters(self, stem: str, scale: Array, zero_point: int, dtype: Any, axis: int | None) -> tuple[str, str]:
        shape = () if axis is None else (scale.size,)
        names = self.names.take(f"{stem}__scale"), self.names.take(f"{stem}__zero_point")
        self.constants[names[0]] = np.asarray(scale, np.float32).reshape(shape)
        self.constants[names[1]] = np.full(shape, zero_point, dtype)
        return names

    def _describe(self, name: str, like: str, dtype: str) -> None:
        self.infos.append(TensorInfo(name, self.plan.graph.shape(like), dtype))

    def _describe_constant(self, name: str, shape: tuple[int, ...]) -> None:
        self.infos.append(TensorInfo(name, shape, "float32"))

    def _multiply(self, source: str, factor: str, target: str) -> None:
        self.nodes.append(Node(self.names.take(f"{target}__Mul"), "Mul", (source, factor), (target,), {}))

    def _linear(self, op: str, inputs: tuple[str, ...], output: str, axis: int | None) -> None:
        attrs: Mapping[str, Any] = {} if axis is None else {"axis": axis}
        self.nodes.append(Node(self.names.take(f"{output}__{op}"), op, inputs, (output,), attrs))


def _file_integers(weight: QWeight) -> Array:
    """Return the integers in the type that the file gives them: int4 for those of 4 bits, which are held in int8."""
    if weight.dtype != S4:
        return weight.values
    from ml_dtypes import int4  # noqa: PLC0415 - spares ml_dtypes

    return weight.values.astype(int4)
