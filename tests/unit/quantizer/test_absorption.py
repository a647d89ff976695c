"""Absorbed biases: the same function on the images that were seen, smaller ranges, and what is left alone."""

import numpy as np
import pytest

from slimai.calibration.collect import channel_extremes
from slimai.quantizer.rewrites.absorption import absorb_biases
from slimai.quantizer.rewrites.aids import DEFAULTS, Choices, Rewrites, aids_for
from slimai.runtime.session import FloatSession

OFFSETS = np.array([9.0, -9.0, 0.0, 11.0, 0.3, 40.0])  # channels 0, 3 and 5 stay above 0, far above their spread


def images(graph, count=4, spread=1.0):
    """Return inputs within +-spread, so that a layer's values have known bounds."""
    draw = np.random.default_rng(3)
    return [
        {name: draw.uniform(-spread, spread, graph.shape(name)).astype(np.float32) for name in graph.inputs}
        for _ in range(count)
    ]


def same_on(graph, changed, feeds):
    """Oracle: ONNX Runtime on the network as it was; tolerance 2e-6 of the largest output (float32 rounding)."""
    for image in feeds:
        before, after = FloatSession(graph).run(image), FloatSession(changed).run(image)
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, rtol=0, atol=2e-6 * np.abs(value).max())


def absorbed(graph, feeds):
    return absorb_biases(graph, channel_extremes(graph, feeds))


def relu_chain(net, rng, clamp="Relu", bias=OFFSETS, **attrs):
    n = net()
    n.conv("x", "a", rng.uniform(-1, 1, (6, 4, 1, 1)), bias)
    n.node(clamp, ("a",), "r", **attrs)
    n.conv("r", "y", rng.normal(size=(3, 6, 1, 1)), rng.normal(size=3))
    return n.graph("y")


def test_the_smallest_value_moves_into_the_next_bias(net, rng):
    graph = relu_chain(net, rng)
    feeds = images(graph)
    made = absorbed(graph, feeds)
    same_on(graph, made.graph, feeds)
    low = np.min([FloatSession(graph, ["a"]).run(image)["a"].min(axis=(0, 2, 3)) for image in feeds], axis=0)
    constant = np.maximum(low, 0.0).astype(float)
    assert (constant > 0).tolist() == [True, False, False, True, False, True]
    np.testing.assert_allclose(made.graph.constants["a_b"], OFFSETS - constant, atol=4e-6)
    added = graph.constants["y_w"][:, :, 0, 0].astype(float) @ constant
    np.testing.assert_allclose(made.graph.constants["y_b"], graph.constants["y_b"] + added, atol=2e-5)
    assert [(d.where, d.what) for d in made.decisions] == [
        ("n_a", "bias absorbed"),
        ("n_y", "bias not absorbed"),
    ]
    assert made.decisions[0].why == f"3 channels by up to {constant.max():.3g}, read by n_y"
    assert made.decisions[1].why == "holds a network output"
    assert made.graph.constants["a_w"] is graph.constants["a_w"]


def test_the_range_shrinks(net, rng):
    graph = relu_chain(net, rng)
    feeds = images(graph)
    before, after = (channel_extremes(item, feeds)["r"] for item in (graph, absorbed(graph, feeds).graph))
    assert before[1].max() > 37.0
    assert after[1].max() < 9.0  # the spread of a channel: at most 2 x 4 x 1 x 1
    np.testing.assert_allclose(after[0], 0.0, atol=4e-6)
    moved = before[0]
    np.testing.assert_allclose(after[1], before[1] - moved, atol=4e-6)


def test_a_value_below_those_seen_ends_at_the_smallest_seen(net, rng):
    """The inexact part, on purpose: the changed network is the old one with r = max(r, c)."""
    graph = relu_chain(net, rng)
    feeds = images(graph)
    made = absorbed(graph, feeds)
    wider = images(graph, spread=2.5)
    constant = np.maximum(channel_extremes(graph, feeds)["a"][0], 0.0).reshape(1, -1, 1, 1)
    matrix, bias = graph.constants["y_w"][:, :, 0, 0].astype(float), graph.constants["y_b"].astype(float)
    cut = 0
    for image in wider:
        values = FloatSession(graph, ["r"]).run(image)["r"].astype(float)
        cut += int((values < constant).sum())
        expected = np.einsum("oi,nihw->nohw", matrix, np.maximum(values, constant)) + bias.reshape(1, -1, 1, 1)
        np.testing.assert_allclose(FloatSession(made.graph).run(image)["y"], expected, atol=1e-4)
    assert cut > 0


def test_layers_without_bias_get_one(net, rng):
    n = net()
    n.conv("x", "z", rng.uniform(-1, 1, (6, 4, 1, 1)), np.full(6, 8.0))
    n.node("Relu", ("z",), "rz")
    n.conv("rz", "a", rng.uniform(0.5, 1, (6, 1, 1, 1)), group=6)
    n.node("Relu", ("a",), "r")
    n.conv("r", "y", rng.normal(size=(4, 3, 1, 1)), group=2)
    graph = n.graph("y")
    feeds = images(graph)
    made = absorbed(graph, feeds)
    same_on(graph, made.graph, feeds)
    assert [d.what for d in made.decisions] == ["bias absorbed", "bias absorbed", "bias not absorbed"]
    assert [len(node.inputs) for node in made.graph.nodes if node.op == "Conv"] == [3, 3, 3]


def test_pooling_and_flattening_let_it_through(net, rng):
    """Through MaxPool, AveragePool, GlobalAveragePool and Reshape to a Gemm, and to a strided 2 x 2 convolution too."""
    pool = {"kernel_shape": (2, 2), "strides": (2, 2), "ceil_mode": 0}
    n = net()
    n.conv("x", "a", rng.uniform(-1, 1, (6, 4, 1, 1)), OFFSETS)
    n.node("MaxPool", ("a",), "m", (1, 6, 5, 5), pads=(1, 1, 1, 1), dilations=(1, 1), **pool)
    n.node("Relu", ("m",), "r")
    n.node("AveragePool", ("r",), "v", (1, 6, 3, 3), pads=(1, 1, 0, 0), dilations=(1, 1), count_include_pad=0, **pool)
    n.node("GlobalAveragePool", ("v",), "p", (1, 6, 1, 1))
    n.node("Reshape", ("p",), "f", (1, 6), shape=(1, 6))
    n.const("fc", rng.normal(size=(6, 3)))
    n.const("fb", rng.normal(size=(1, 3)))
    n.node("Gemm", ("f", "fc", "fb"), "y", (1, 3), transB=0)
    n.const("k", rng.normal(size=(2, 6, 2, 2)))
    n.node("Conv", ("r", "k"), "w", (1, 2, 2, 2), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0), group=1)
    graph = n.graph("y", "w")
    feeds = images(graph)
    made = absorbed(graph, feeds)
    same_on(graph, made.graph, feeds)
    assert "read by n_w, n_y" in made.decisions[0].why
    assert made.graph.constants["fb"].shape == (1, 3)


def test_an_upper_clamp_that_cuts_keeps_its_channel(net, rng):
    """Relu6 on channels around 3 and around 6: the first is absorbed, the second would need a limit of its own."""
    n = net()
    n.conv("x", "a", np.full((2, 4, 1, 1), 0.25), np.array([3.0, 6.0]))
    n.node("Clip", ("a",), "r", lo=0.0, hi=6.0)
    n.conv("r", "y", rng.normal(size=(3, 2, 1, 1)), rng.normal(size=3))
    graph = n.graph("y")
    feeds = images(graph)
    made = absorbed(graph, feeds)
    same_on(graph, made.graph, feeds)
    assert made.graph.constants["a_b"][0] < 1.0  # 3 less its smallest value, which lies within 1 of it
    assert made.graph.constants["a_b"][1] == 6.0


def test_values_that_are_not_numbers_move_nothing(net, rng):
    """So that calibration, which comes next, names the tensor and the image."""
    graph = relu_chain(net, rng)
    broken = {name: np.full_like(value, np.nan) for name, value in channel_extremes(graph, images(graph)).items()}
    assert absorb_biases(graph, broken).graph is graph


def padded(n, rng):
    n.const("k", rng.normal(size=(3, 6, 3, 3)))
    n.node("Conv", ("r", "k"), "y", (1, 3, 8, 8), strides=(1, 1), dilations=(1, 1), pads=(1, 1, 1, 1), group=1)


def averaged(n, rng):
    attrs = {"kernel_shape": (3, 3), "strides": (1, 1), "dilations": (1, 1), "ceil_mode": 0}
    n.node("AveragePool", ("r",), "v", (1, 6, 8, 8), pads=(1, 1, 1, 1), count_include_pad=1, **attrs)
    n.conv("v", "y", rng.normal(size=(3, 6, 1, 1)))


def reshaped(n, rng):
    n.node("Reshape", ("r",), "f", (1, 6 * 64), shape=(1, 6 * 64))
    n.const("fc", rng.normal(size=(3, 6 * 64)))
    n.node("Gemm", ("f", "fc"), "y", (1, 3), transB=1)


def shared(n, rng):
    n.conv("r", "y", rng.normal(size=(6, 6, 1, 1)), rng.normal(size=6))
    n.const("k", rng.normal(size=(6, 4, 1, 1)))
    whole = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "group": 1}
    n.node("Conv", ("x", "k", "y_b"), "q", (1, 6, 8, 8), **whole)


@pytest.mark.parametrize(
    ("build", "outputs", "reason"),
    [
        (padded, "y", "Conv n_y pads with zeros"),
        (averaged, "y", "AveragePool n_v has no bias to take it"),
        (reshaped, "y", "Reshape n_f has no bias to take it"),
        (shared, "yq", "Conv n_y shares its bias"),
        (lambda n, rng: n.conv("r", "y", rng.normal(size=(3, 6, 1, 1))), "yr", "holds a network output"),
        (lambda n, _: n.node("Add", ("r", "r"), "y"), "y", "Add n_y has no bias to take it"),
        (lambda n, _: n.node("Sigmoid", ("r",), "y"), "y", "Sigmoid n_y has no bias to take it"),
        (lambda n, _: n.node("Concat", ("r", "x"), "y", (1, 10, 8, 8), axis=1), "y", "Concat n_y has no bias"),
    ],
)
def test_what_is_left_alone(net, rng, build, outputs, reason):
    n = net()
    n.conv("x", "a", rng.uniform(-1, 1, (6, 4, 1, 1)), OFFSETS)
    n.node("Relu", ("a",), "r")
    build(n, rng)
    graph = n.graph(*outputs)
    made = absorbed(graph, images(graph))
    assert made.graph is graph
    assert made.decisions[0].where == "n_a"
    assert made.decisions[0].what == "bias not absorbed"
    assert made.decisions[0].why.startswith(reason)


def test_one_unfit_reader_of_two_is_enough(net, rng):
    n = net()
    n.conv("x", "a", rng.uniform(-1, 1, (6, 4, 1, 1)), OFFSETS)
    n.node("Relu", ("a",), "r")
    n.conv("r", "y", rng.normal(size=(3, 6, 1, 1)))
    n.node("Sigmoid", ("r",), "s")
    graph = n.graph("y", "s")
    made = absorbed(graph, images(graph))
    assert made.graph is graph
    assert made.decisions[0].why == "Sigmoid n_s has no bias to take it"


@pytest.mark.parametrize(
    ("clamp", "attrs", "reason"),
    [
        ("Relu", {}, "no channel stays above 0"),
        ("MaxPool", {}, "no clamp at 0 behind it"),
        ("Clip", {"lo": -1.0, "hi": 1.0}, "Clip n_r has no bias to take it"),
    ],
)
def test_nothing_to_absorb(net, rng, clamp, attrs, reason):
    if clamp == "MaxPool":
        attrs = {"kernel_shape": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "ceil_mode": 0}
    bias = np.full(6, -9.0) if clamp == "Relu" else OFFSETS
    graph = relu_chain(net, rng, clamp, bias, **attrs)
    made = absorbed(graph, images(graph))
    assert made.graph is graph
    assert made.decisions[0].why == reason


def test_the_switch_is_off_by_default():
    """docs/accuracy.md has the table that decided it."""
    for level in DEFAULTS:
        assert not aids_for(level, Choices()).bias_absorption
        on = aids_for(level, Choices(bias_absorption=True)).rewrites
        judged = "tensor" if level == 0 else "channel"
        assert on == Rewrites(True, level == 0, True, True, judged=judged)
        off = Choices(equalization=False, bias_absorption=False, channel_clustering=False)
        assert aids_for(level, off).rewrites == Rewrites()
