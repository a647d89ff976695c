"""LSTM and GRU layers whose gates' parts are far beyond 8 and cancel, against ONNX Runtime's float operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

STEPS, INPUTS, UNITS = 12, 5, 6
# Steps of 16 bits within which three quarters of the outputs are; gates as steep as these make much of single
# roundings. Where each part saturated at 8, as TFLite has it, it was hundreds to thousands.
MOST = {"GRU": 3.0, "LSTM": 40.0}
GATES = {"GRU": 3, "LSTM": 4}
TARGET = TargetSection()


def model(rng, op, **attrs):
    """Return a layer with weights of normal size 8: parts of a gate reach 40 and more."""
    rows = GATES[op] * UNITS
    shapes = {"w": (1, rows, INPUTS), "r": (1, rows, UNITS), "b": (1, 2 * rows)}
    constants = [numpy_helper.from_array(rng.normal(0, 8, s).astype(np.float32), n) for n, s in shapes.items()]
    node = helper.make_node(op, ["x", *shapes], ["y"], hidden_size=UNITS, **attrs)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
             for name, shape in (("x", (STEPS, 1, INPUTS)), ("y", (STEPS, 1, 1, UNITS)))]  # fmt: skip
    graph = helper.make_graph([node], "net", infos[:1], infos[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


@pytest.mark.parametrize(
    ("op", "attrs"), [("GRU", {"linear_before_reset": 0}), ("GRU", {"linear_before_reset": 1}), ("LSTM", {})]
)
@pytest.mark.parametrize("seed", range(4))
def test_parts_of_a_gate_that_cancel(tmp_path, op, attrs, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "net.onnx"
    onnx.save(model(rng, op, **attrs), path)
    graph = load_onnx(path)
    # on the grid of the input, which is fixed by the largest value: its rounding is not what is tested
    feeds = [{"x": np.rint(rng.normal(0, 1, (STEPS, 1, INPUTS)) * 64).clip(-255, 255).astype(np.float32) / 64}
             for _ in range(4)]  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    plan = build_plan(graph, collect(graph, feeds), QuantOptions(level=4), TARGET)
    program = compile_plan(plan, TARGET)
    step = plan.tensors["y"].scale
    weights = numpy_helper.to_array(onnx.load(path).graph.initializer[0])[0]
    apart, beyond = [], 0
    for feed in feeds:
        apart.append(np.abs(program.dequantize(program.run(feed))["y"] - session.run(None, feed)[0]) / step)
        beyond += int((np.abs(feed["x"][:, 0] @ weights.T) > 8).sum())
    assert np.quantile(np.stack(apart), 0.75) <= MOST[op]
    assert beyond > 100
