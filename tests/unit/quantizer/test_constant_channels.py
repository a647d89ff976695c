"""Constant channels fold without changing the network; live ones are never touched."""

import numpy as np

from slimai.quantizer.rewrites.constant_channels import fold_constant_channels
from slimai.runtime.session import FloatSession


def outputs(graph, seed):
    x = {name: np.random.default_rng(seed).normal(size=graph.shape(name)).astype(np.float32) for name in graph.inputs}
    return FloatSession(graph).run(x)


def same_function(graph, changed):
    """Tolerance: 1e-6 of the largest output."""
    for seed in range(3):
        for name, value in outputs(graph, seed).items():
            np.testing.assert_allclose(outputs(changed, seed)[name], value, rtol=0, atol=1e-6 * np.abs(value).max())


def chain(net, rng, *, pads=(0, 0, 0, 0), dead_bias=-3.0):
    """Return conv -> Relu6 -> depthwise -> Relu -> conv, where channel 1 is dead and has a huge depthwise weight."""
    n = net()
    first = rng.normal(size=(3, 4, 1, 1))
    first[1] = 0.0
    n.conv("x", "a", first, np.array([0.1, dead_bias, 0.2]))
    n.node("Clip", ("a",), "ra", lo=0.0, hi=6.0)
    deep = rng.normal(size=(3, 1, 3, 3))
    deep[1] *= 1e6
    n.const("d_w", deep)
    n.const("d_b", np.array([0.3, 5.25, -0.1]))
    size = 6 + pads[0] + pads[2]
    n.node("Conv", ("ra", "d_w", "d_b"), "d", (1, 3, size, size), strides=(1, 1), dilations=(1, 1), pads=pads, group=3)
    n.node("Clip", ("d",), "rd", lo=0.0, hi=6.0)
    n.conv("rd", "y", rng.normal(size=(2, 3, 1, 1)), np.zeros(2))
    return n.graph("y")


def test_dead_channel_loses_its_weights_and_its_value_moves_on(net, rng):
    graph = chain(net, rng, pads=(1, 1, 1, 1))
    changed, decisions = fold_constant_channels(graph)
    same_function(graph, changed)
    assert np.abs(changed.constants["d_w"][1]).max() == 0.0
    assert np.abs(changed.constants["y_w"][:, 1]).max() == 0.0  # 5.25, behind a 1 x 1 kernel: exact
    np.testing.assert_allclose(changed.constants["y_b"], 5.25 * graph.constants["y_w"][:, 1, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(changed.constants["d_w"][0], graph.constants["d_w"][0])
    assert [(d.where, d.what) for d in decisions] == [
        ("n_d", "1 constant input channels folded"),
        ("n_y", "1 constant input channels folded"),
    ]


def test_a_constant_other_than_zero_stays_behind_padding(net, rng):
    graph = chain(net, rng, pads=(1, 1, 1, 1), dead_bias=2.0)
    changed, _ = fold_constant_channels(graph)
    same_function(graph, changed)
    np.testing.assert_array_equal(changed.constants["d_w"], graph.constants["d_w"])


def test_a_row_that_cannot_leave_its_clamp_is_dropped(net, rng):
    n = net()
    n.conv("x", "a", rng.normal(size=(3, 4, 1, 1)))
    n.node("Clip", ("a",), "ra", lo=0.0, hi=1.0)
    weights = rng.normal(size=(2, 3, 1, 1))
    n.conv("ra", "b", weights, np.array([-100.0, 0.0]))
    n.node("Relu", ("b",), "rb")
    n.conv("rb", "y", rng.normal(size=(2, 2, 1, 1)))
    graph = n.graph("y")
    changed, _ = fold_constant_channels(graph)
    same_function(graph, changed)
    assert np.abs(changed.constants["b_w"][0]).max() == 0.0
    np.testing.assert_array_equal(changed.constants["b_w"][1], graph.constants["b_w"][1])
    assert changed.constants["b_b"].tolist() == [0.0, 0.0]


def test_nothing_to_fold_gives_the_same_graph(net, rng):
    n = net()
    n.conv("x", "a", rng.normal(size=(3, 4, 1, 1)), rng.normal(size=3))
    n.node("Relu", ("a",), "r")
    n.conv("r", "y", rng.normal(size=(2, 3, 1, 1)))
    graph = n.graph("y")
    assert fold_constant_channels(graph) == (graph, ())


def test_shared_weights_are_left_alone(net):
    n = net()
    weights = np.zeros((4, 4, 1, 1), np.float32)
    n.conv("x", "a", weights, np.ones(4))
    shared = ("x", "a_w", "a_b")
    n.node("Conv", shared, "b", strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), group=1)
    graph = n.graph("a", "b")
    assert fold_constant_channels(graph)[0] is graph
