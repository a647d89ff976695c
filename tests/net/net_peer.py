"""ONNX Runtime's own quantizer on the same network with the same types: the peer that no level may fall behind."""

from __future__ import annotations

import numpy as np
import onnx
from net_stages import run_all

from slimai.quantizer.levels import LEVELS
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import QuantPlan

PER_CHANNEL = ("Conv", "ConvTranspose")
# Their outputs have scales of their own, powers of two, as TFLite's have; signed ones end at 127 / 128.
FIXED = ("Softmax", "Sigmoid", "Tanh")


def quantized(saved: onnx.ModelProto, feeds, plan: QuantPlan) -> onnx.ModelProto:
    """Return the QDQ model of ONNX Runtime's quantizer: limits are minimum and maximum over `feeds`.

    Types are those of the level: of each activation its own, weights s8 or s16, one scale an output channel where the
    level has one. What slimai runs on the host stays in float.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import QuantType

    class Quantizer(QDQQuantizer):
        def is_tensor_per_channel(self, tensor_name, default_axis, op_type=None):
            found = super().is_tensor_per_channel(tensor_name, default_axis, op_type)
            readers = [node for node in self.model.model.graph.node if tensor_name in node.input]
            fit = all(node.op_type in PER_CHANNEL and not _grouped_transposed(node) for node in readers)
            return found if fit else (False, None)

        def adjust_tensor_ranges(self):
            """Keep the ranges in front of a Clip: narrowing them is an aid (`tail_clipping`), which is off here."""
            for node in self.model.model.graph.node:
                if node.op_type in FIXED and node.output[0] in self.tensors_range.data:
                    self.tensors_range[node.output[0]] = _fixed(node, plan, TensorData)

        def quantize_model(self):
            for name in plan.tensors:  # also in front of operators that ONNX Runtime quantizes only behind others
                if name in self.tensors_range.data:
                    self.quantize_activation_tensor(name)
            return super().quantize_model()

    model = onnx.ModelProto()
    model.CopyFrom(saved)
    kinds = {params.dtype.name for params in plan.tensors.values()}
    wide = LEVELS[plan.level].bits == 16  # joins of unlike ranges have 16 bits at every level: here they have 8
    kind = QuantType.QInt16 if wide else QuantType.QUInt8 if "u8" in kinds and "s8" not in kinds else QuantType.QInt8
    asymmetric = any(params.zero_point for params in plan.tensors.values())
    integer = {name for layer in plan.layers if layer.mode == "integer" for name in layer.node.outputs}
    nodes = [node.name for node in model.graph.node if _inside(model, node, plan, integer)]
    options = {
        "ActivationSymmetric": not asymmetric,
        "WeightSymmetric": True,
        "ForceQuantizeNoInputCheck": True,
        "AddQDQPairToWeight": False,
        "QDQKeepRemovableActivations": True,
        "TensorQuantOverrides": {} if wide or asymmetric else _unsigned(model, plan.tensors),
    }
    operators = sorted({node.op_type for node in model.graph.node})
    quantizer = Quantizer(
        model,
        plan.level > 0,
        False,
        QuantType.QInt16 if wide else QuantType.QInt8,
        kind,
        TensorsData(CalibrationMethod.MinMax, _ranges(saved, feeds)),
        nodes,
        [],
        operators,
        options,
    )
    quantizer.quantize_model()
    return quantizer.model.model


def _fixed(node: onnx.NodeProto, plan: QuantPlan, kind):
    params = plan.tensors.get(node.output[0])
    end = params.dtype.high / (params.dtype.high + 1) if params is not None else 1.0
    return kind(lowest=np.float32(-end if node.op_type == "Tanh" else 0), highest=np.float32(end))


def _grouped_transposed(node: onnx.NodeProto) -> bool:
    """Return whether the bias of this node has more channels than the axis of its weight that has the scales."""
    return node.op_type == "ConvTranspose" and any(item.name == "group" and item.i > 1 for item in node.attribute)


def _inside(model: onnx.ModelProto, node: onnx.NodeProto, plan: QuantPlan, integer: set[str]) -> bool:
    """Return whether a node of the saved model belongs to an integer layer (SiLU is two nodes there)."""
    activations = {name for layer in plan.layers for name in layer.outputs}
    folded = {layer.activation.outputs[0] for layer in plan.layers if layer.activation is not None}
    names = set(node.output)
    return bool(names & integer) or bool(names & folded) or not names & activations


def _unsigned(model: onnx.ModelProto, tensors) -> dict[str, list[dict]]:
    """Return ONNX Runtime's overrides for the activations that are u8 with zero point 0."""
    from onnxruntime.quantization.quant_utils import QuantType

    known = {name for node in model.graph.node for name in (*node.input, *node.output)}
    return {
        name: [{"quant_type": QuantType.QUInt8, "symmetric": False}]
        for name, params in tensors.items()
        if isinstance(params, QParams) and params.dtype.name == "u8" and name in known
    }


def _ranges(saved: onnx.ModelProto, feeds) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    probe = onnx.ModelProto()
    probe.CopyFrom(saved)
    del probe.graph.output[:]
    constants = {item.name for item in probe.graph.initializer}
    for node in probe.graph.node:
        probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name)
    values = [{**feed, **found} for feed, found in zip(feeds, run_all(probe, feeds), strict=True)]
    names = [name for name, value in values[0].items() if value.dtype == np.float32 and name not in constants]
    return {
        name: (
            np.float32(min(item[name].min(initial=0) for item in values)),
            np.float32(max(item[name].max(initial=0) for item in values)),
        )
        for name in names
    }
