"""ONNX models of QLinear operators as models of QuantizeLinear / DequantizeLinear pairs.

Each QLinear operator becomes DequantizeLinear on its quantized inputs, the float operator, and QuantizeLinear.
What the operators of domain com.microsoft mean: ONNX Runtime, `docs/ContribOperators.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from slimai.graph.names import FreeNames
from slimai.graph.ops import TRAITS

_CONTRIB = "com.microsoft"
_TRIPLES = {row.qlinear: op for op, row in TRAITS.items() if row.qlinear}
_OWN_ATTRIBUTES = {"channels_last", "opset"}


def expanded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its QLinear operators written as quantize / dequantize pairs; others stay."""
    builder = _Builder(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for node in model.graph.node:
        result.graph.node.extend(builder.rewrite(node))
    result.graph.initializer.extend(builder.made)
    del result.graph.value_info[:]
    return result


class _Builder:
    """Rewrites node by node; `made` collects new constants."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = {item.name: item for item in model.graph.initializer}
        self.made: list[onnx.TensorProto] = []
        values = {name for node in model.graph.node for name in (*node.input, *node.output, node.name)}
        self.names = FreeNames(values | set(self.constants) | {item.name for item in model.graph.input})

    def rewrite(self, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
        """Return what stands for `node`."""
        rules: dict[str, Callable[[onnx.NodeProto], Sequence[onnx.NodeProto]]] = {
            "QLinearConv": self._conv,
            "QLinearMatMul": self._matmul,
            "QGemm": self._gemm,
            "QLinearConcat": self._concat,
            **dict.fromkeys(_TRIPLES, self._triples),
        }
        if node.op_type not in rules or node.domain not in {"", "ai.onnx", _CONTRIB}:
            return [node]
        if any(item.name == "channels_last" and item.i for item in node.attribute):
            return [node]
        return rules[node.op_type](node)

    def _read(self, node: onnx.NodeProto, position: int, axis: int | None = None) -> tuple[onnx.NodeProto, str]:
        """Return the DequantizeLinear of the (tensor, scale, zero point) at `position`, and its output."""
        names = [name for name in node.input[position : position + 3] if name]
        output = self.names.take(f"{node.output[0]}__dequantized_{position}")
        return self._linear("DequantizeLinear", names, output, axis), output

    def _linear(self, op: str, inputs: Sequence[str], output: str, axis: int | None) -> onnx.NodeProto:
        made = helper.make_node(op, list(inputs), [output], name=self.names.take(f"{op}_{output}"))
        scale = self.constants.get(inputs[1])
        if axis is not None and scale is not None and list(scale.dims) not in ([], [1]):
            made.attribute.append(helper.make_attribute("axis", axis))
        return made

    def _written(
        self, node: onnx.NodeProto, op: str, inputs: Sequence[str], at: int | Sequence[str]
    ) -> list[onnx.NodeProto]:
        """Return the float operator and the QuantizeLinear with the parameters at position `at` (or named there)."""
        inner = self.names.take(f"{node.output[0]}__float")
        kept = [item for item in node.attribute if item.name not in _OWN_ATTRIBUTES]
        main = helper.make_node(op, list(inputs), [inner], name=node.name or inner)
        main.attribute.extend(kept)
        params = list(node.input[at : at + 2]) if isinstance(at, int) else list(at)
        return [main, self._linear("QuantizeLinear", [inner, *(name for name in params if name)], node.output[0], None)]

    def _bias(
        self, node: onnx.NodeProto, bias: str, x_scale: str, w_scale: str
    ) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return the DequantizeLinear of an int32 bias at scale x_scale * w_scale, and its output, or nothing."""
        x, w = self.constants.get(x_scale), self.constants.get(w_scale)
        if not bias or x is None or w is None:
            return [], []
        scale = (numpy_helper.to_array(x).reshape(-1) * numpy_helper.to_array(w).reshape(-1)).astype(np.float32)
        name = self.names.take(f"{node.output[0]}__bias_scale")
        item = numpy_helper.from_array(scale if scale.size > 1 else scale.reshape(()), name)
        self.made.append(item)
        self.constants[name] = item
        output = self.names.take(f"{node.output[0]}__bias")
        return [self._linear("DequantizeLinear", [bias, name], output, 0)], [output]

    def _conv(self, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
        x, x_name = self._read(node, 0)
        w, w_name = self._read(node, 3, axis=0)
        given = node.input[8] if len(node.input) > 8 else ""
        bias, bias_name = self._bias(node, given, node.input[1], node.input[4])
        return [x, w, *bias, *self._written(node, "Conv", [x_name, w_name, *bias_name], 6)]

    def _matmul(self, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
        a, a_name = self._read(node, 0)
        b, b_name = self._read(node, 3, axis=1)
        return [a, b, *self._written(node, "MatMul", [a_name, b_name], 6)]

    def _gemm(self, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
        transposed = any(item.name == "transB" and item.i for item in node.attribute)
        a, a_name = self._read(node, 0)
        b, b_name = self._read(node, 3, axis=0 if transposed else 1)
        bias, bias_name = self._bias(node, node.input[6], node.input[1], node.input[4])
        return [a, b, *bias, *self._written(node, "Gemm", [a_name, b_name, *bias_name], 7)]

    def _concat(self, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
        parts = [self._read(node, position) for position in range(2, len(node.input), 3)]
        names = [name for _, name in parts]
        return [*(part for part, _ in parts), *self._written(node, "Concat", names, node.input[:2])]

    def _triples(self, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
        count = TRAITS[_TRIPLES[node.op_type]].operand_count
        parts = [self._read(node, 3 * position) for position in range(count)]
        names = [name for _, name in parts]
        return [*(part for part, _ in parts), *self._written(node, _TRIPLES[node.op_type], names, 3 * len(parts))]
