"""ONNX Runtime's float operators on integers: exact sums below 2^24, of windows over three axes and of others."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def run(op, feeds, constants, attrs, kinds=None):
    """Return what ONNX Runtime computes of float32 arrays; constants: further inputs by name, None for one left out.

    kinds: types of constants that are not float32.
    """
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, feeds.shape)]
    names = ["x", *(name if value is not None else "" for name, value in constants.items())]
    stored = [
        numpy_helper.from_array(value.astype((kinds or {}).get(name, np.float32)), name)
        for name, value in constants.items() if value is not None
    ]  # fmt: skip
    node = helper.make_node(op, names, ["y"], **attrs)
    graph = helper.make_graph(
        [node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": feeds.astype(np.float32)})[0]
