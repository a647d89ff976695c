"""Weight clipping against brute force; bias correction against the means that a float network really has."""

from dataclasses import replace

import numpy as np
import pytest

from slimai.graph.ir import Node
from slimai.quantizer import _kernels, _reference
from slimai.quantizer.bias_correction import mean_error, shifted
from slimai.quantizer.clipping import RATIOS, clipped_peaks
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import S8, S16
from slimai.quantizer.planner import build_plan
from slimai.quantizer.weight_layout import WeightLayout
from slimai.runtime.session import FloatSession


def test_error_kernel_equals_its_twin(rng):
    """Tolerance 1e-9 relative: sums in another order."""
    rows = rng.normal(size=(7, 50)).astype(np.float32)
    rows[3] = 0
    peaks = np.abs(rows).max(axis=1).astype(np.float64)
    found, expected = np.empty((RATIOS.size, 7)), np.empty((RATIOS.size, 7))
    _kernels.rounding_errors(rows, peaks, RATIOS, 127, found)
    _reference.rounding_errors(rows, peaks, RATIOS, 127, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("per_channel", [True, False])
def test_clipping_never_raises_the_squared_error(rng, per_channel):
    weights = rng.laplace(size=(6, 400, 3, 3)).astype(np.float32)
    kept = clipped_peaks(weights, WeightLayout(0), S8, per_channel=per_channel)
    whole = np.abs(weights).reshape(6, -1).max(axis=1).astype(np.float64)
    if not per_channel:
        whole[:] = whole.max()

    def error(peaks):
        scale = (peaks / 127).reshape(-1, 1, 1, 1)
        return np.square(np.clip(np.rint(weights / scale), -127, 127) * scale - weights).reshape(6, -1).sum(axis=1)

    if per_channel:
        assert (error(kept) <= error(whole)).all()
        assert (error(kept) < 0.99 * error(whole)).any()
    else:
        assert error(kept).sum() <= error(whole).sum()
        assert np.unique(kept).size == 1


def test_16_bit_weights_are_not_clipped(rng):
    weights = rng.standard_t(2, (3, 8)).astype(np.float32)
    np.testing.assert_array_equal(
        clipped_peaks(weights, WeightLayout(0), S16, per_channel=True), np.abs(weights).max(axis=1)
    )


CASES = [
    ("Conv", (6, 4, 3, 3), {"group": 1}),
    ("Conv", (4, 1, 3, 3), {"group": 4}),
    ("Conv", (6, 2, 1, 1), {"group": 2}),
    ("ConvTranspose", (4, 3, 2, 2), {"group": 2, "output_padding": (0, 0)}),
]


@pytest.mark.parametrize(("op", "shape", "attrs"), CASES)
def test_mean_error_is_the_mean_that_the_float_network_has(net, rng, op, shape, attrs):
    """Oracle: ONNX Runtime on images of constant channels, where the mean is exact; tolerance 1e-5."""
    stride = (2, 2) if op == "ConvTranspose" else (1, 1)
    outputs = shape[1] * attrs["group"] if op == "ConvTranspose" else shape[0]
    size = 16 if op == "ConvTranspose" else 8 - shape[2] + 1
    n = net()
    n.const("w", rng.normal(size=shape))
    n.node(op, ("x", "w"), "y", (1, outputs, size, size), strides=stride, dilations=(1, 1), pads=(0, 0, 0, 0), **attrs)
    graph = n.graph("y")
    means = rng.normal(size=4)
    x = np.broadcast_to(means.reshape(1, 4, 1, 1), (1, 4, 8, 8)).astype(np.float32)
    found = mean_error(graph.nodes[0], graph.constants["w"], means)
    np.testing.assert_allclose(found, FloatSession(graph).run({"x": x})["y"].mean(axis=(0, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("trans", [0, 1])
def test_mean_error_of_a_matrix(rng, trans):
    node = Node("g", "Gemm", ("x", "w"), ("y",), {"transB": trans})
    error = rng.normal(size=(5, 3) if trans else (3, 5))
    means = rng.normal(size=3)
    expected = means @ (error.T if trans else error)
    np.testing.assert_allclose(mean_error(node, error, means), expected, rtol=1e-12)


def test_analytic_correction_removes_the_mean_error(net, rng):
    """The weights' error at the mean input, measured in float64, falls below one step of the bias."""
    from slimai.calibration.collect import collect

    n = net()
    n.conv("x", "y", rng.normal(size=(6, 4, 1, 1)), rng.normal(size=6))
    graph = n.graph("y")
    images = [{"x": rng.normal(2.0, 1.0, (1, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
    stats = collect(graph, images, bins=64, per_channel=True)
    means = np.concatenate([image["x"] for image in images]).astype(float).mean(axis=(0, 2, 3))

    def error(plan):
        layer = plan.layers[0]
        s_x = plan.tensors["x"].scale
        scale = layer.weight.scale
        weights = layer.weight.values.reshape(6, 4) * scale[:, None]
        ours = weights @ means + layer.bias * s_x * scale
        return np.abs(
            ours - (graph.constants["y_w"].reshape(6, 4).astype(float) @ means + graph.constants["y_b"])
        ), s_x * scale

    plain, _ = error(build_plan(graph, stats, QuantOptions(level=1)))
    corrected, step = error(build_plan(graph, stats, QuantOptions(level=1, bias_correction=True)))
    assert (corrected <= 0.51 * step).all()
    assert plain.max() > 5 * corrected.max()


def biased_chain(net, rng):
    """Three convolutions whose channels differ so much in size that one weight scale loses the small ones."""
    n = net()
    sizes = 10.0 ** rng.uniform(-2, 0, size=(6, 1, 1, 1))
    n.conv("x", "a", rng.normal(0.3, 1.0, size=(6, 4, 1, 1)) * sizes, rng.normal(size=6))
    n.node("Relu", ("a",), "r")
    n.conv("r", "b", rng.normal(0.2, 1.0, size=(6, 6, 1, 1)) * sizes)
    n.conv("b", "y", rng.normal(0.2, 1.0, size=(6, 6, 1, 1)) * sizes, rng.normal(size=6))
    graph = n.graph("y")
    return graph, [{"x": rng.normal(1.0, 1.0, (2, 4, 8, 8)).astype(np.float32)} for _ in range(4)]


def test_empirical_correction_brings_every_layer_to_the_float_means(net, rng):
    """Oracle: ONNX Runtime's means over the same images, in steps of each output's grid.

    Within 0.15 of a step: a channel that spans few steps rounds differently once it is moved.
    """
    from slimai.app.candidates.empirical_bias import corrected_options
    from slimai.calibration.collect import collect
    from slimai.schema.target import TargetSection
    from slimai.simulator.program import compile_plan

    graph, images = biased_chain(net, rng)
    stats = collect(graph, images, bins=2048, per_channel=True)
    tensors = ("r", "b", "y")
    session = FloatSession(graph, outputs=tensors)
    truth = [session.run(feeds) for feeds in images]

    def errors(options):
        plan = build_plan(graph, stats, options)
        program = compile_plan(plan, TargetSection())
        found = [program.dequantize(program.run(feeds, capture=tensors)) for feeds in images]
        gaps = [
            np.mean([ours[name] - real[name] for ours, real in zip(found, truth, strict=True)], axis=(0, 1, 3, 4))
            / plan.tensors[name].scale
            for name in tensors
        ]
        return np.abs(gaps).max()

    plain = QuantOptions(level=0)
    corrected = corrected_options(graph, stats, plain, TargetSection(), images)
    assert set(corrected.bias_offsets) == {node.name for node in graph.nodes if node.op == "Conv"}
    assert errors(plain) > 0.25, "the case must need correction"
    assert errors(corrected) < min(0.15, errors(plain) / 2)


def test_empirical_correction_leaves_alone_what_limits_cut_off_on_purpose(net, rng):
    """A layer whose weights are exact, with limits that cut off half of its range: there is nothing to correct.

    Within a quarter of a step. The mean of what is cut off is more than ten steps.
    """
    from slimai.app.candidates.empirical_bias import corrected_options
    from slimai.calibration.collect import collect
    from slimai.schema.target import TargetSection

    n = net()
    n.conv("x", "a", rng.choice([-127.0, 127.0], (4, 4, 1, 1)) / 127)
    n.node("SiLU", ("a",), "y")
    graph = n.graph("y")
    images = [{"x": rng.integers(-127, 128, (2, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
    stats = collect(graph, images, bins=2048, per_channel=True)
    plain = QuantOptions(level=1, limits={"x": (-127.0, 127.0), "a": (-50.0, 50.0)})
    step = build_plan(graph, stats, plain).tensors["a"].scale
    truth = np.concatenate([FloatSession(graph, outputs=["a"]).run(feeds)["a"] for feeds in images])
    cut_off = (truth - np.clip(truth, -50.0, 50.0)).mean(axis=(0, 2, 3))
    assert np.abs(cut_off).max() > 10 * step, "the case must cut off much"
    (offset,) = corrected_options(graph, stats, plain, TargetSection(), images).bias_offsets.values()
    assert np.abs(offset).max() < 0.25 * step


def test_layers_run_one_by_one_compute_what_the_program_does(net, rng):
    """Exact; a layer that is replaced is what the next one reads."""
    from slimai.calibration.collect import collect
    from slimai.schema.target import TargetSection
    from slimai.simulator.layerwise import revise_layers
    from slimai.simulator.program import compile_plan

    graph, images = biased_chain(net, rng)
    plan = build_plan(graph, collect(graph, images, bins=64), QuantOptions(level=3))
    tensors = [layer.outputs[0] for layer in plan.layers]
    seen, shifted_seen = {}, {}
    revise_layers(plan, TargetSection(), images, lambda layer, made: seen.update({layer.outputs[0]: made}))
    program = compile_plan(plan, TargetSection())
    for number, feeds in enumerate(images):
        expected = program.run(feeds, capture=tensors)
        for name in tensors:
            np.testing.assert_array_equal(seen[name][number], expected[name])

    first = plan.layers[0].name

    def zeroed(layer, made):
        shifted_seen[layer.outputs[0]] = made
        return replace(layer, bias=layer.bias - 2**29) if layer.name == first else None

    revise_layers(plan, TargetSection(), images, zeroed)
    changed = replace(plan, layers=(replace(plan.layers[0], bias=plan.layers[0].bias - 2**29), *plan.layers[1:]))
    expected = compile_plan(changed, TargetSection()).run(images[0], capture=tensors)
    np.testing.assert_array_equal(shifted_seen["y"][0], expected["y"])
    assert (shifted_seen["y"][0] != seen["y"][0]).any()


def test_a_shifted_bias_stays_within_its_room(net, rng):
    from slimai.calibration.collect import collect

    graph, images = biased_chain(net, rng)
    for level, room in ((1, 2**30), (4, 2**46)):
        plan = build_plan(graph, collect(graph, images, bins=64), QuantOptions(level=level))
        layer = plan.layers[0]
        reads = plan.tensors[layer.inputs[0]]
        assert (shifted(layer, np.full(6, 1e9), reads).bias == room).all()
        moved = shifted(layer, 100 * reads.scale * layer.weight.scale, reads)
        np.testing.assert_array_equal(moved.bias - layer.bias, np.full(6, 100))
