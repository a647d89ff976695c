"""Weights rounded layer by layer on a small network: better outputs, the same bytes however it is interrupted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slimai.calibration.collect import collect
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.quantizer.layers import quantized_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.rounding.result import RoundedLayer
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan
from slimai.simulator.rounding_guard import NO_GAIN, guarded
from slimai.simulator.rounding_pass import Images, RoundingPass

IMAGES = 16


def network(seed=0):
    """Return convolution, depthwise, strided grouped and transposed convolutions with clamps, a Gemm, a branch."""
    rng = np.random.default_rng(seed)
    tensors, constants, nodes = {"x": TensorInfo("x", (1, 3, 12, 12))}, {}, []

    def const(name, *shape, spread=0.0):
        factor = np.exp(spread * rng.normal(size=(shape[0], *(1,) * (len(shape) - 1))))
        constants[name] = (rng.normal(size=shape) * factor / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)
        tensors[name] = TensorInfo(name, shape)
        return name

    def add(op, inputs, output, size, **attrs):
        tensors[output] = TensorInfo(output, size)
        nodes.append(Node(f"n_{output}", op, inputs, (output,), attrs))

    def conv(source, output, shape, weight, *, op="Conv", stride=1, pad=1, group=1, **more):
        name, bias = const(f"{output}_w", *weight, spread=0.7), const(f"{output}_b", shape[1])
        attrs = {"strides": (stride,) * 2, "dilations": (1, 1), "pads": (pad,) * 4, "group": group, **more}
        add(op, (source, name, bias), output, shape, **attrs)

    conv("x", "a", (1, 8, 12, 12), (8, 3, 3, 3))
    add("Relu", ("a",), "ar", (1, 8, 12, 12))
    conv("ar", "b", (1, 8, 12, 12), (8, 1, 3, 3), group=8)
    add("Relu", ("b",), "br", (1, 8, 12, 12))
    conv("br", "c", (1, 8, 12, 12), (8, 8, 1, 1), pad=0)
    add("Add", ("c", "ar"), "d", (1, 8, 12, 12))
    conv("d", "e", (1, 8, 6, 6), (8, 4, 3, 3), stride=2, group=2)
    conv("e", "f", (1, 4, 12, 12), (8, 4, 2, 2), op="ConvTranspose", stride=2, pad=0, output_padding=(0, 0))
    add("Relu", ("f",), "fr", (1, 4, 12, 12))
    add("GlobalAveragePool", ("fr",), "g", (1, 4, 1, 1))
    add("Reshape", ("g",), "h", (1, 4), shape=(1, 4))
    const("out_w", 5, 4)
    const("out_b", 5)
    add("Gemm", ("h", "out_w", "out_b"), "out", (1, 5), transB=1)
    return Graph("net", tuple(nodes), ("x",), ("fr", "out"), tensors, constants)


@pytest.fixture(scope="module")
def setting():
    graph = network()
    rng = np.random.default_rng(1)
    images = [{"x": rng.normal(size=(1, 3, 12, 12)).astype(np.float32)} for _ in range(IMAGES)]
    tensors = quantized_tensors(graph)
    return graph, images, collect(graph, images, tensors=tensors, per_channel=True)


def plan_of(setting, level, **options):
    graph, _, stats = setting
    return build_plan(graph, stats, QuantOptions(level=level, bias_correction=True, **options), TargetSection())


def rounded(setting, level, folder, *, images=None, batch=1, **more):
    graph, every, _ = setting
    chosen = every if images is None else every[:images]
    plan = plan_of(setting, level)

    def batches():
        for first in range(0, len(chosen), batch):
            yield {"x": np.concatenate([item["x"] for item in chosen[first : first + batch]])}

    return RoundingPass(graph, plan, TargetSection(), Images(len(chosen), batches), folder, **more).run()


def noise(setting, plan, count=40):
    """Return the mean squared error of each output on images that calibration has not seen, against float."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(count, 3, 12, 12)).astype(np.float32)
    truth = FloatSession(setting[0]).run({"x": x})
    program = compile_plan(plan, TargetSection())
    made = program.dequantize(program.run({"x": x}))
    return {name: float(np.square(made[name] - truth[name]).mean()) for name in truth}


def equal(first, second):
    assert first.reports == second.reports
    assert list(first.layers) == list(second.layers)
    for name, layer in first.layers.items():
        np.testing.assert_array_equal(layer.weight.values, second.layers[name].weight.values)
        np.testing.assert_array_equal(layer.bias, second.layers[name].bias)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_outputs_come_nearer_to_float_and_every_weighted_layer_is_reported(setting, level, tmp_path):
    found = rounded(setting, level, tmp_path)
    weighted = [node.name for node in setting[0].nodes if len(node.inputs) == 3]
    assert [report.node for report in found.reports] == weighted
    assert len(found.layers) >= 4, [report.why for report in found.reports]
    for report in found.reports:
        assert report.kept == (report.node in found.layers)
        assert report.nearest_error is not None
        assert report.kept == (report.rounded_error < report.nearest_error)
    before, after = (
        noise(setting, plan_of(setting, level)),
        noise(setting, plan_of(setting, level, rounding=found.layers)),
    )
    assert after["fr"] < before["fr"]
    assert not any(path.is_file() for path in tmp_path.rglob("*")), "nothing stays on disk"


@pytest.mark.parametrize("level", [0, 3])
def test_the_plan_has_the_rounded_integers_on_the_grid_of_the_nearest_ones(setting, level, tmp_path):
    found = rounded(setting, level, tmp_path)
    plain, plan = plan_of(setting, level), plan_of(setting, level, rounding=found.layers)
    changed = 0
    for before, after in zip(plain.layers, plan.layers, strict=True):
        if after.weight is None or after.node.name not in found.layers:
            continue
        own = found.layers[after.node.name]
        assert after.weight is own.weight
        np.testing.assert_array_equal(after.weight.scale, before.weight.scale)
        assert np.abs(after.weight.values.astype(int)).max() <= 127
        step = plan.tensors[after.inputs[0]].scale * np.broadcast_to(after.weight.scale, own.bias.shape)
        assert (np.abs(after.bias * step - own.bias) <= step / 2 * (1 + 1e-9)).all()
        changed += not np.array_equal(before.weight.values, after.weight.values)
    assert changed == len(found.layers)
    other = plan_of(setting, level, rounding=found.layers, percent=90.0)
    for layer in other.layers:
        if layer.node.name in found.layers:
            assert layer.weight is found.layers[layer.node.name].weight, "other ranges share the integers"


def test_any_batch_gives_the_same_bytes(setting, tmp_path):
    """What the float network gives is the same for these shapes at any batch; the integers are so by construction."""
    whole = rounded(setting, 3, tmp_path / "a")
    for batch in (3, 16):
        equal(whole, rounded(setting, 3, tmp_path / f"b{batch}", batch=batch))


@pytest.mark.parametrize("after", [1, 3, 5])
def test_an_interrupted_pass_goes_on_to_the_same_bytes(setting, after, tmp_path):
    whole = rounded(setting, 0, tmp_path / "whole")
    known = {}

    def note(report, layer):
        if len(known) == after:
            raise KeyboardInterrupt
        known[report.node] = (report, layer)

    with pytest.raises(KeyboardInterrupt):
        rounded(setting, 0, tmp_path / "cut", solved=note)
    assert len(known) == after
    told = []
    resumed = rounded(setting, 0, tmp_path / "again", known=known, solved=lambda report, _: told.append(report.node))
    equal(whole, resumed)
    assert told == [report.node for report in whole.reports[after:]]


def test_too_few_images_and_too_few_samples_leave_nearest_weights(setting, tmp_path):
    found = rounded(setting, 1, tmp_path / "three", images=3)
    assert not found.layers
    assert {report.why for report in found.reports} == {"3 calibration images are too few"}
    found = rounded(setting, 1, tmp_path / "four", images=4)
    assert found.reports[-1].samples == 4, "one row an image behind the pool"
    assert found.reports[-1].node == "n_out"


def test_a_layer_with_fewer_samples_than_weights_stays(tmp_path):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 20)).astype(np.float32)
    tensors = {name: TensorInfo(name, shape) for name, shape in (("x", (1, 20)), ("w", (3, 20)), ("y", (1, 3)))}
    graph = Graph(
        "net", (Node("n", "Gemm", ("x", "w"), ("y",), {"transB": 1}),), ("x",), ("y",), tensors, {"w": weights}
    )
    images = [{"x": rng.normal(size=(1, 20)).astype(np.float32)} for _ in range(19)]
    plan = build_plan(graph, collect(graph, images), QuantOptions(level=0), TargetSection())
    found = RoundingPass(graph, plan, TargetSection(), Images(19, lambda: images), tmp_path).run()
    assert [report.why for report in found.reports] == ["19 samples for 20 weights a row"]


@pytest.mark.parametrize("level", [0, 3])
def test_a_product_without_a_place_for_a_bias_is_rounded_too(level, tmp_path):
    """Its input is far from zero in the mean, which no bias can make up for; the layer still has none afterwards."""
    rng = np.random.default_rng(3)
    weights, mixing = rng.normal(size=(24, 6)).astype(np.float32), rng.normal(size=(24, 24)) / 5
    tensors = {name: TensorInfo(name, shape) for name, shape in (("x", (1, 9, 24)), ("w", (24, 6)), ("y", (1, 9, 6)))}
    graph = Graph("net", (Node("n", "MatMul", ("x", "w"), ("y",)),), ("x",), ("y",), tensors, {"w": weights})

    def inputs(count):
        return {"x": (rng.normal(size=(count, 9, 24)) @ mixing + 1.0).astype(np.float32)}

    images = [inputs(1) for _ in range(16)]
    setting = (graph, images, collect(graph, images))
    found = rounded(setting, level, tmp_path)
    (report,) = found.reports
    assert report.kept
    assert report.rounded_error < 0.6 * report.nearest_error
    x = inputs(40)
    truth = FloatSession(graph).run(x)["y"]
    errors = []
    for rounding in ({}, found.layers):
        plan = plan_of(setting, level, rounding=rounding)
        assert plan.layers[0].bias is None
        errors.append(float(np.square(compile_and_run(plan, x) - truth).mean()))
    assert errors[1] < 0.9 * errors[0], "most of level 3's error is the rounding of y"
    shown = Images(16, lambda: images)
    kept = guarded(graph, plan_of(setting, level), found, TargetSection(), shown, arithmetic="native")
    assert list(kept.layers) == ["n"]


def compile_and_run(plan, feeds):
    program = compile_plan(plan, TargetSection())
    return program.dequantize(program.run(feeds))["y"]


def test_level_4_has_nothing_to_round(setting, tmp_path):
    found = rounded(setting, 4, tmp_path)
    assert not found.layers
    assert {report.why for report in found.reports} == {"its weights have 16 bits"}


def test_weights_of_8_bits_beside_16_bit_inputs_are_rounded_too(setting, tmp_path):
    """Reports tell less error on held-out images, and the delivered network's outputs come nearer to float."""
    graph, every, stats = setting
    wide = {"level4_weights": "s8", "datatypes": {node.name: (16, 16) for node in graph.nodes}}
    options = QuantOptions(level=3, **wide)
    plan = build_plan(graph, stats, options, TargetSection())
    assert {plan.tensors[name].dtype.bits for layer in plan.layers if layer.weight for name in layer.inputs} == {16}
    found = RoundingPass(graph, plan, TargetSection(), Images(len(every), lambda: every), tmp_path).run()
    assert len(found.layers) >= 4
    assert all(report.rounded_error < report.nearest_error for report in found.reports if report.kept)
    rounded_plan = build_plan(graph, stats, replace(options, rounding=found.layers), TargetSection())
    assert noise(setting, rounded_plan)["fr"] < noise(setting, plan)["fr"]


def test_a_network_that_fixes_its_batch_gets_the_same_integers(setting, tmp_path):
    graph, images, stats = setting
    fixed = replace(graph, batchable=False, batch_note="a test")
    whole = rounded(setting, 3, tmp_path / "a")
    found = rounded((fixed, images, stats), 3, tmp_path / "b")
    equal(whole, found)


def test_layers_before_and_behind_a_host_layer_are_rounded(tmp_path):
    rng = np.random.default_rng(5)
    weights = {name: rng.normal(size=(6, 6, 1, 1)).astype(np.float32) / 2 for name in ("v", "w")}
    shape = (1, 6, 8, 8)
    tensors = {name: TensorInfo(name, shape) for name in ("x", "a", "b", "y")}
    tensors |= {name: TensorInfo(name, value.shape) for name, value in weights.items()}
    attrs = {"strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4, "group": 1}
    nodes = (
        Node("first", "Conv", ("x", "v"), ("a",), attrs),
        Node("host", "Sin", ("a",), ("b",)),
        Node("second", "Conv", ("b", "w"), ("y",), attrs),
    )
    graph = Graph("net", nodes, ("x",), ("y",), tensors, weights)
    mixing = rng.normal(size=(6, 6)) @ np.diag((2.0, 1.0, 0.5, 0.2, 0.1, 0.05))  # channels that go together

    def inputs(count):
        return {"x": np.einsum("oc,nchw->nohw", mixing, rng.normal(size=(count, *shape[1:]))).astype(np.float32)}

    images = [inputs(1) for _ in range(8)]
    setting = (graph, images, collect(graph, images, tensors=quantized_tensors(graph), per_channel=True))
    plan = plan_of(setting, 0)
    assert [layer.mode for layer in plan.layers] == ["integer", "host", "integer"]
    found = rounded(setting, 0, tmp_path)
    assert set(found.layers) == {"first", "second"}
    x = inputs(30)
    truth = FloatSession(graph).run(x)["y"]
    errors = []
    for rounding in ({}, found.layers):
        program = compile_plan(plan_of(setting, 0, rounding=rounding), TargetSection())
        errors.append(float(np.square(program.dequantize(program.run(x))["y"] - truth).mean()))
    assert errors[1] < errors[0]


def test_the_guard_keeps_what_the_outputs_gain_by_and_takes_back_what_they_lose_by(setting, tmp_path):
    graph, images, _ = setting
    plan, found = plan_of(setting, 0), rounded(setting, 0, tmp_path)
    shown = Images(len(images), lambda: images)
    kept = guarded(graph, plan, found, TargetSection(), shown, arithmetic="native")
    assert list(kept.layers) == list(found.layers)[: len(kept.layers)]
    assert kept.layers
    # weights that are wrong: the errors of the layers say they gain, the outputs do not
    spoiled = {
        name: RoundedLayer(replace(layer.weight, values=-layer.weight.values), layer.bias)
        for name, layer in found.layers.items()
    }
    none = guarded(graph, plan, replace(found, layers=spoiled), TargetSection(), shown, arithmetic="native")
    assert none.layers == {}
    assert {report.why for report in none.reports if report.node in found.layers} == {NO_GAIN}
    # a good beginning and a bad end: the beginning stays
    names = list(found.layers)
    half = len(names) // 2
    mixed = {name: (found.layers if at < half else spoiled)[name] for at, name in enumerate(names)}
    part = guarded(graph, plan, replace(found, layers=mixed), TargetSection(), shown, arithmetic="native")
    assert len(part.layers) <= half
    assert [report.kept for report in part.reports] == [report.node in part.layers for report in part.reports]
