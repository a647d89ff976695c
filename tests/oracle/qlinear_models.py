"""Single-operator ONNX models in integers, run by ONNX Runtime without graph optimization."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_TYPES = {"s8": TensorProto.INT8, "u8": TensorProto.UINT8, "f32": TensorProto.FLOAT}


class ModelBuilder:
    """Collects one node with its constants into a model."""

    def __init__(self) -> None:
        self.constants = []

    def constant(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def quantization(self, name: str, params) -> list[str]:
        """Return names of the scale and zero point constants of `params`."""
        return [
            self.constant(f"{name}_s", np.float32(params.scale)),
            self.constant(f"{name}_z", np.array(params.zero_point, params.dtype.numpy)),
        ]

    def run(self, node, feeds, out_dtype: str):
        """Return the output of the model of this node."""
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in feeds.items()
        ]
        outputs = [helper.make_tensor_value_info("y", _TYPES[out_dtype], None)]
        graph = helper.make_graph([node], "one", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, dict(feeds))[0]


def node(op: str, inputs, domain: str = "", **attributes) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), ["y"], domain=domain, **attributes)
