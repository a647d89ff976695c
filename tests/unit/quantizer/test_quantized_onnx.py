"""Models quantized by other tools run as integers; ONNX Runtime's own kernels are the oracle under `ort_f32`."""

from __future__ import annotations

import contextlib
import io
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from slimai.calibration.collect import collect
from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.quantized_onnx import is_quantized, plan_of_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def float_model(extra=()):
    """Conv + Relu, depthwise, residual Add, pool, Flatten, Gemm, Softmax; `extra` nodes before the pool."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[3, 3], pads=[1] * 4, group=8),
        helper.make_node("Add", ["r1", "c2"], ["a"]),
        *extra,
        helper.make_node("GlobalAveragePool", ["e" if extra else "a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    constants = [
        constant("w1", normal(8, 3, 3, 3)), constant("b1", normal(8)), constant("w2", normal(8, 1, 3, 3)),
        constant("w3", normal(5, 8)), constant("b3", normal(5)),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Pictures(CalibrationDataReader):
    def __init__(self):
        rng = np.random.default_rng(1)
        self.rest = iter([{"x": rng.normal(0, 1, (1, 3, 12, 10)).astype(np.float32)} for _ in range(6)])

    def get_next(self):
        return next(self.rest, None)


def quantized(tmp_path, style, activation, *, per_channel, extra=()):
    source, target = tmp_path / "float.onnx", tmp_path / "quantized.onnx"
    onnx.save(float_model(extra), source)
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(
            source, target, Pictures(), quant_format=style, per_channel=per_channel, activation_type=activation,
            weight_type=QuantType.QInt8, reduce_range=True,
        )  # fmt: skip
    return target


def by_runtime(path, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.fixture
def pictures():
    return np.random.default_rng(2).normal(0, 1, (6, 3, 12, 10)).astype(np.float32)


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("activation", [QuantType.QUInt8, QuantType.QInt8], ids=["u8", "s8"])
def test_qlinear_models_equal_onnx_runtime(tmp_path, pictures, activation, per_channel):
    path = quantized(tmp_path, QuantFormat.QOperator, activation, per_channel=per_channel)
    plan = plan_of_quantized(load_onnx(path, optimize=False))
    assert Counter(layer.mode for layer in plan.layers) == {"integer": len(plan.layers)}
    program = compile_plan(plan, TargetSection(), arithmetic="ort_f32")
    found = program.run({"x": pictures})
    assert found["y"].dtype == (np.uint8 if activation is QuantType.QUInt8 else np.int8)
    assert np.array_equal(program.dequantize(found)["y"], by_runtime(path, pictures))


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_qdq_models_mean_the_same_as_qlinear_ones(tmp_path, pictures, per_channel):
    styles = (QuantFormat.QOperator, QuantFormat.QDQ)
    paths = [quantized(tmp_path, style, QuantType.QUInt8, per_channel=per_channel) for style in styles[:1]]
    first = plan_of_quantized(load_onnx(paths[0], optimize=False))
    second = plan_of_quantized(
        load_onnx(quantized(tmp_path, styles[1], QuantType.QUInt8, per_channel=per_channel), optimize=False)
    )
    kinds = [[(layer.kind, layer.mode) for layer in plan.layers] for plan in (first, second)]
    assert kinds[0] == kinds[1]
    outputs = [
        compile_plan(plan, TargetSection(), arithmetic="ort_f32").run({"x": pictures})["y"] for plan in (first, second)
    ]
    # The two files hold zero points and scales of their own rounding; the integers agree to one step.
    assert np.abs(outputs[0].astype(int) - outputs[1]).max() <= 1


def test_unsupported_operators_run_on_the_host_by_name(tmp_path, pictures):
    extra = (helper.make_node("Atan", ["a"], ["e"], name="erf"),)
    path = quantized(tmp_path, QuantFormat.QDQ, QuantType.QUInt8, per_channel=False, extra=extra)
    program = compile_plan(plan_of_quantized(load_onnx(path, optimize=False)), TargetSection(), arithmetic="ort_f32")
    assert list(program.host_layers) == ["Atan_erf__1"]
    assert program.host_layers["Atan_erf__1"] == "Atan has no integer kernel"
    real = program.dequantize(program.run({"x": pictures}))["y"]
    step = program.plan.tensors["y"].scale
    # QDQ without graph optimization is float arithmetic between grids: steps of the last grid, not bits.
    assert np.abs(real - by_runtime(path, pictures)).max() <= 2.01 * step


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("arithmetic", ["native", "single", "ort_f32"])
def test_our_own_exported_model_comes_back_bit_for_bit(tmp_path, pictures, level, arithmetic):
    source, target = tmp_path / "float.onnx", tmp_path / "exported.onnx"
    onnx.save(float_model(), source)
    graph = load_onnx(source)
    plan = build_plan(graph, collect(graph, [{"x": pictures}]), QuantOptions(level=level))
    onnx.save(to_qdq(plan), target)
    again = plan_of_quantized(load_onnx(target, optimize=False))
    (output,) = graph.outputs
    expected = compile_plan(plan, TargetSection(), arithmetic=arithmetic).run({"x": pictures})[output]
    found = compile_plan(again, TargetSection(), arithmetic=arithmetic).run({"x": pictures})[output]
    assert np.array_equal(found, expected)


def test_float_models_are_refused(tmp_path):
    path = tmp_path / "float.onnx"
    onnx.save(float_model(), path)
    graph = load_onnx(path, optimize=False)
    assert not is_quantized(graph)
    with pytest.raises(InputError, match="the model is not quantized: it has no QuantizeLinear or QLinear operator"):
        plan_of_quantized(graph)
