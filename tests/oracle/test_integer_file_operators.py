"""The file of integers is enough by itself, operator by operator: every sample, every preset, drawn geometry.

Oracle: `integer_reader`, NumPy and Python integers alone. Every integer is equal to the simulator's.
"""

from __future__ import annotations

import json
import zlib

import integer_reader
import numpy as np
import onnx
import pytest
from drawn_layers import MAKERS
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import SAMPLES, integer_case
from portable_c import extremes

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.graph.ops import TRAITS
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.integer_file import integer_file
from slimai.simulator.program import compile_plan

PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64")
SETTINGS = [(preset, dtype, tied) for preset in PRESETS for dtype in ("s8", "u8", "s16") for tied in (False, True)]


def compare(plan, preset, feeds, path, target=None):
    """Write the file of a plan; compare each output of each layer, as the reader and the program compute it."""
    target = target or TargetSection()
    program = compile_plan(plan, target, arithmetic=preset)
    assert not program.host_layers
    np.savez(path, **integer_file(program, target))
    names = [name for layer in plan.layers for name in layer.outputs if name]
    for feed in feeds(program):
        expected = program.run(feed, capture=names)
        real = {name: plan.tensors[name].dequantize(feed[name]) for name in plan.graph.inputs}
        found = integer_reader.run(path, real)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name} of {plan.layers}")


@pytest.mark.parametrize("op", sorted(SAMPLES))
def test_it_computes_an_operator(tmp_path, op):
    for number, sample in enumerate(SAMPLES[op]):
        for preset, dtype, tied in SETTINGS:
            recipe = "dsp" if preset in ("xi_sym", "single") else "tflite"
            if recipe not in TRAITS[op].recipes or (tied and TRAITS[op].family == "recurrent"):
                continue
            rng = np.random.default_rng(zlib.crc32(repr((op, number, preset, dtype, tied)).encode()))
            plan, feeds, _ = integer_case(op, sample, preset, dtype, rng, tied=tied)
            compare(plan, preset, lambda _program, feeds=feeds: [feeds], tmp_path / "net.npz")


@pytest.mark.parametrize("maker", MAKERS, ids=lambda item: item.__name__)
def test_it_computes_drawn_geometry(tmp_path, maker):
    for number in range(24):
        rng = np.random.default_rng(zlib.crc32(f"{maker.__name__} {number}".encode()))
        plan = maker(rng, ("s8", "u8", "s16")[number % 3])
        compare(plan, PRESETS[number // 3 % 4], extremes, tmp_path / "net.npz")


def test_the_rule_of_multipliers_is_named_where_it_is_that_of_a_preset(tmp_path):
    """A squared difference is T31 under every preset; a root of squares has a formula of its own, and names none."""
    rules = {"SquaredDifference": "gemmlowp", "ReduceL2": None, "ReduceSum": "xi_sym"}
    for op, rule in rules.items():
        plan, _, _ = integer_case(op, SAMPLES[op][0], "xi_sym", "s8", np.random.default_rng(0))
        file = integer_file(compile_plan(plan, TargetSection(), arithmetic="xi_sym"), TargetSection())
        (layer,) = json.loads(file["network"].tobytes())["layers"]
        assert layer.get("requantization") == rule, op


def one_of(draw, rng, constant, node, x, channels):
    """Add a layer of the kinds that networks seldom have; return its output, in the shape of x."""
    other = constant(rng.normal(size=(channels, 1, 1)).astype(np.float32))
    positive = node("Add", [node("Abs", [x]), constant(np.float32(draw(st.sampled_from([0.02, 0.5]))))])
    kinds = {
        **{op: lambda op=op: node(op, [positive]) for op in ("Sqrt", "Reciprocal", "Log")},
        **{f"x^{p}": lambda p=p: node("Pow", [positive, constant(np.float32(p))]) for p in (2, 3, -1.5, 0.3)},
        "cube": lambda: node("Pow", [x, constant(np.float32(3))]),
        "Max": lambda: node("Max", [x, other]),
        "Min": lambda: node("Min", [x, positive]),
        "Neg": lambda: node("Neg", [x]),
        "average": lambda: node("AveragePool", [x], kernel_shape=[3, 2], pads=[1, 1, 1, 0], count_include_pad=1),
        "coarse": lambda: node("Resize", [node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
                                               count_include_pad=draw(st.integers(0, 1))), "", "",
                                          constant(np.array([1, channels, 6, 8]))], mode="nearest"),
    }  # fmt: skip
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


def network(draw):
    """Draw a convolution, layers of these kinds, and a reduction over some axes."""
    nodes, constants, make = [], [], onnx.helper
    rng, channels = np.random.default_rng(draw(st.integers(0, 2**31))), draw(st.sampled_from([2, 3]))

    def constant(value):
        constants.append(onnx.numpy_helper.from_array(np.asarray(value), f"c{len(constants)}"))
        return constants[-1].name

    def node(op, inputs, **attributes):
        nodes.append(make.make_node(op, inputs, [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    weight = constant(rng.normal(size=(channels, 3, 3, 3)).astype(np.float32))
    x = node("Conv", ["x", weight], pads=[1] * 4)
    for _ in range(draw(st.integers(1, 3))):
        x = one_of(draw, rng, constant, node, x, channels)
    kind = draw(st.sampled_from(["ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2", "ReduceMean"]))
    axes = sorted(draw(st.sets(st.sampled_from([1, 2, 3]), min_size=1)))
    keep = draw(st.integers(0, 1))
    inputs, attributes = ([x, constant(np.array(axes))], {}) if kind == "ReduceSum" else ([x], {"axes": axes})
    last = node(kind, inputs, keepdims=keep, **attributes)
    ends = [make.make_tensor_value_info("x", 1, [1, 3, 6, 8])], [make.make_tensor_value_info(last, 1, None)]
    return make.make_model(
        make.make_graph(nodes, "net", *ends, constants), opset_imports=[make.make_opsetid("", 17)], ir_version=9
    )


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_it_computes_networks_of_powers_and_reductions(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("drawn")
    onnx.save(network(data.draw), folder / "net.onnx")
    graph, rng = load_onnx(folder / "net.onnx"), np.random.default_rng(1)
    images = [{"x": rng.normal(0.2, 0.7, (1, 3, 6, 8)).astype(np.float32)} for _ in range(2)]
    target = TargetSection(acc_bits=data.draw(st.sampled_from([32, 32, 20])))
    plan = build_plan(graph, collect(graph, images), QuantOptions(level=data.draw(st.integers(0, 4))), target)
    compare(plan, data.draw(st.sampled_from(["native", *PRESETS])), extremes, folder / "net.npz", target)
