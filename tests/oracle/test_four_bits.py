"""Weights of 4 bits: simulator, C and the exported network, against scalar models and ONNX Runtime; 0 may differ."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from operators import SAMPLES, integer_case
from plans import Op, build_plan, params, random_integers
from portable_c import build, extremes, subject

from slimai.quantizer.packing import packed, unpacked
from slimai.quantizer.params import S4, S8
from slimai.quantizer.plan import QWeight
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.performance import PerformanceSection
from slimai.schema.target import TargetSection
from slimai.simulator.cost import estimate
from slimai.simulator.program import compile_plan

MATRIX = [op for op in SAMPLES if op in {"Conv", "ConvTranspose", "Gemm", "MatMul"}]
DSP, TFLITE = ("xi_sym", "single"), ("gemmlowp", "tflite_s64")


def seeded(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def narrowed(plan, case, rng):
    """Return plan and case of `integer_case` with s4 weights, one scale an output channel."""
    (layer,) = plan.layers
    channels = plan.graph.shape(layer.outputs[0])[1 if layer.node.op in {"Conv", "ConvTranspose"} else -1]
    values = rng.integers(-S4.high, S4.high + 1, layer.weight.values.shape).astype(np.int8)
    scale = np.exp(rng.uniform(-1, 0, channels)).astype(np.float32).astype(float) / S4.high
    axis = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}[layer.node.op]
    weight = QWeight(values, S4, scale, axis)
    return replace(plan, layers=(replace(layer, weight=weight),)), replace(case, weight=weight)


@pytest.mark.parametrize("dtype", ["s8", "u8"])
@pytest.mark.parametrize("rule", DSP)
@pytest.mark.parametrize("op", MATRIX)
def test_the_simulator_against_scalar_models(op, rule, dtype):
    for number, sample in enumerate(item for item in SAMPLES[op] if 1 in item.constants):
        rng = seeded(op, rule, dtype, number)
        plan, feeds, case = integer_case(op, sample, rule, dtype, rng)
        plan, case = narrowed(plan, case, rng)
        found = compile_plan(plan, TargetSection(), arithmetic=rule).run(feeds)
        for name, expected in zip(plan.graph.outputs, sample.model(case), strict=True):
            assert found[name].ravel().tolist() == expected
            assert np.unique(found[name]).size > 3


@pytest.mark.parametrize("dtype", ["s8", "u8"])
@pytest.mark.parametrize("rule", [*DSP, *TFLITE])
@pytest.mark.parametrize("op", MATRIX)
def test_four_bits_held_in_eight_are_the_same_integers(op, rule, dtype):
    """Whatever the recipe, s4 only says how weights are stored."""
    for number, sample in enumerate(item for item in SAMPLES[op] if 1 in item.constants):
        rng = seeded(op, rule, dtype, number)
        plan, feeds, case = integer_case(op, sample, rule, dtype, rng)
        plan, _ = narrowed(plan, case, rng)
        (layer,) = plan.layers
        wide = QWeight(layer.weight.values, S8, layer.weight.scale, layer.weight.axis)
        other = replace(plan, layers=(replace(layer, weight=wide),))
        found, expected = (compile_plan(item, TargetSection(), arithmetic=rule).run(feeds) for item in (plan, other))
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


def chain(rng, dtype="u8", power=False):
    """Return the plan of Conv -> depthwise (odd counts of weights) -> ConvTranspose -> Conv -> Gemm, all s4."""

    def scale(channels):
        found = np.exp2(rng.integers(-5, -2, channels).astype(float))
        return found if power else found * np.float32(0.9).astype(float)

    def weight(shape, channels, axis=0):
        values = rng.integers(-S4.high, S4.high + 1, shape).astype(np.int8)
        return QWeight(values, S4, scale(channels), axis)

    zero = 0 if dtype == "s8" else 119
    grids = {name: params(dtype, 2.0**-step if power else 0.9 * 2.0**-step, zero)
             for name, step in {"x": 6, "c": 4, "d": 3, "t": 3, "p": 2, "y": 1}.items()}  # fmt: skip
    square = {"strides": (1, 1), "dilations": (1, 1), "group": 1, "pads": (1, 1, 1, 1)}
    ops = [
        Op("Conv", ("x",), "c", square, weight((7, 5, 3, 3), 7), rng.integers(-300, 300, 7)),
        Op("Conv", ("c",), "d", {**square, "group": 7}, weight((7, 1, 3, 3), 7), rng.integers(-300, 300, 7)),
        Op("ConvTranspose", ("d",), "t", {**square, "strides": (2, 2), "pads": (0,) * 4, "output_padding": (0, 0)},
           weight((7, 3, 2, 2), 3, 1), rng.integers(-300, 300, 3)),
        Op("Conv", ("t",), "p", {**square, "pads": (0,) * 4, "strides": (2, 2)}, weight((33, 3, 1, 1), 33)),
        Op("MatMul", ("p",), "y", {}, weight((5, 9), 9, 1)),
    ]  # fmt: skip
    shapes = {"x": (1, 5, 5, 5), "c": (1, 7, 5, 5), "d": (1, 7, 5, 5), "t": (1, 3, 10, 10), "p": (1, 33, 5, 5),
              "y": (1, 33, 5, 9)}  # fmt: skip
    return build_plan(ops, shapes, grids, ("x",), ("y",))


@pytest.mark.parametrize("weights", ["array", "file"])
def test_the_c_reads_two_weights_a_byte(weights, tmp_path):
    """Sums of more than 64 and of odd numbers of weights, channels beyond 32, every recipe; sanitizers on."""
    rng = seeded("c", weights)
    subjects, feeds = [], []
    for preset, dtype in (("xi_sym", "s8"), ("single", "u8"), ("gemmlowp", "u8"), ("tflite_s64", "s8")):
        program = compile_plan(chain(rng, dtype), TargetSection(), arithmetic=preset)
        item = subject(program, TargetSection(), tmp_path, f"{preset}_{dtype}", weights=weights)
        if weights == "array":
            text = "".join(path.read_text() for path in item.folder.rglob("*_kernels.c"))
            assert "halves(" in text
            packed_bytes = sum(-(-layer.weight.values.size // 2) for layer in program.plan.layers)
            stored = sum(v.nbytes for name, v in item.network.constants.arrays.items() if "_weight_" in name)
            assert stored == packed_bytes
        subjects.append(item)
        feeds.append([*extremes(program), {"x": random_integers(rng, program.plan.tensors["x"], (1, 5, 5, 5))}])
    build(subjects, tmp_path)
    assert {item.network.prefix: item.differences(data) for item, data in zip(subjects, feeds, strict=True)} == {
        item.network.prefix: {} for item in subjects
    }


def test_onnx_runtime_computes_the_same_integers_from_int4(tmp_path):
    """Scales are powers of two, so float32 sums are exact and nothing but the integers decides."""
    rng = seeded("onnx")
    plan = chain(rng, "u8", power=True)
    model = to_qdq(plan)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 21
    weights = {item.name: item for item in model.graph.initializer if item.data_type == onnx.TensorProto.INT4}
    held = {name: onnx.numpy_helper.to_array(item).astype(np.int8) for name, item in weights.items() if item.dims}
    for layer in plan.layers:
        np.testing.assert_array_equal(held[f"{layer.name}__weight__q"], layer.weight.values)
        assert weights[f"{layer.name}__weight__q"].raw_data == packed(layer.weight.values).tobytes()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    program = compile_plan(plan, TargetSection(), arithmetic="ort_f32")
    for _ in range(4):
        integers = random_integers(rng, plan.tensors["x"], (1, 5, 5, 5))
        found = session.run(None, {"x": plan.tensors["x"].dequantize(integers)})[0]
        np.testing.assert_array_equal(found, plan.tensors["y"].dequantize(program.run({"x": integers})["y"]))
    assert np.unique(found).size > 10


def test_the_file_is_read_back_with_its_four_bits(tmp_path):
    rng = seeded("back")
    plan = chain(rng)
    path = tmp_path / "net.onnx"
    path.write_bytes(to_qdq(plan).SerializeToString())
    again = load_quantized(path)
    ours = [layer for layer in plan.layers if layer.weight is not None]
    theirs = [layer for layer in again.layers if layer.weight is not None]
    assert [layer.weight.dtype for layer in theirs] == [S4] * len(ours)
    for first, second in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(first.weight.values, second.weight.values)
        np.testing.assert_array_equal(first.weight.scale, second.weight.scale)
    integers = random_integers(rng, plan.tensors["x"], (1, 5, 5, 5))
    first, second = (compile_plan(item, TargetSection()).run({"x": integers})["y"] for item in (plan, again))
    np.testing.assert_array_equal(first, second)


def test_tables_hold_two_weights_a_byte():
    plan = chain(seeded("tables"))
    tables = compile_plan(plan, TargetSection()).table()
    for layer in plan.layers:
        assert f"{layer.name}/weight" not in tables
        data, shape = tables[f"{layer.name}/weight_s4"], tables[f"{layer.name}/weight_shape"]
        assert data.nbytes == -(-layer.weight.values.size // 2)
        np.testing.assert_array_equal(unpacked(data, shape), layer.weight.values)


def test_the_cost_counts_half_the_bytes_and_twice_the_macs():
    """A target that gives no rate for s4 has the rate of s8; bytes are halved all the same, odd counts rounded up."""
    plan = chain(seeded("cost"))
    eight = replace(plan, layers=tuple(
        replace(layer, weight=QWeight(layer.weight.values, S8, layer.weight.scale, layer.weight.axis))
        for layer in plan.layers
    ))  # fmt: skip
    npu = TargetSection(macs_per_cycle={"s8s8": 256, "u8s8": 256, "s16s8": 128, "s16s16": 64, "s8s4": 512, "u8s4": 512})
    clock = PerformanceSection()
    four, plain, wide = (estimate(*item, clock).layers for item in ((plan, npu), (plan, TargetSection()), (eight, npu)))
    for layer, narrow, slow, full in zip(plan.layers, four, plain, wide, strict=True):
        assert (narrow.pair, slow.pair, full.pair) == ("u8s4", "u8s4", "u8s8")
        assert full.moved - narrow.moved == layer.weight.values.size // 2
        assert narrow.compute * 2 == full.compute == slow.compute
