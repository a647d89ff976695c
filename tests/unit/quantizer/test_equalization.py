"""Equalization keeps what the network computes and evens out the ranges; what it cannot do is said."""

import numpy as np
import pytest

from slimai.calibration.collect import channel_magnitudes
from slimai.quantizer.rewrites.equalization import columns_of, equalize, rows_of
from slimai.runtime.session import FloatSession


def uneven(rng, *shape):
    """Return weights whose channels differ by a factor of a thousand."""
    return rng.normal(size=shape) * 10.0 ** rng.uniform(-1.5, 1.5, (shape[0],) + (1,) * (len(shape) - 1))


def same_function(graph, changed, rng):
    """Tolerance: 2e-6 of the largest output (float32 rounding in another order)."""
    for seed in range(3):
        x = {
            name: np.random.default_rng(seed).normal(size=graph.shape(name)).astype(np.float32) for name in graph.inputs
        }
        before, after = FloatSession(graph).run(x), FloatSession(changed).run(x)
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, rtol=0, atol=2e-6 * np.abs(value).max())


def depthwise_chain(net, rng, clamp="Relu", **attrs):
    n = net()
    n.conv("x", "a", uneven(rng, 6, 4, 1, 1), rng.normal(size=6))
    n.node(clamp, ("a",), "ra", **attrs)
    n.conv("ra", "d", uneven(rng, 6, 1, 1, 1), rng.normal(size=6), group=6)
    n.node(clamp, ("d",), "rd", **attrs)
    n.conv("rd", "y", uneven(rng, 3, 6, 1, 1), rng.normal(size=3))
    return n.graph("y")


def test_depthwise_chain(net, rng):
    graph = depthwise_chain(net, rng)
    made = equalize(graph)
    same_function(graph, made.graph, rng)
    assert [d.what for d in made.decisions] == ["channels equalized"] * 2
    for writer, reader in (("n_a", "n_d"), ("n_d", "n_y")):
        a, b = made.graph.by_name[writer], made.graph.by_name[reader]
        written = rows_of(a, made.graph.constants[a.inputs[1]])
        read = columns_of(b, made.graph.constants[b.inputs[1]])
        np.testing.assert_allclose(written / written.max(), read / read.max(), rtol=0.02)
    spread = rows_of(graph.by_name["n_d"], graph.constants["d_w"])
    evened = rows_of(made.graph.by_name["n_d"], made.graph.constants["d_w"])
    assert evened.max() / evened.min() < spread.max() / spread.min()


@pytest.mark.parametrize("seen", [False, True], ids=["weights", "activations"])
def test_relu6_gets_one_limit_a_channel(net, rng, seen):
    """The same function, weights balanced as through Relu, and limits 6 / factor as float32."""
    graph = depthwise_chain(net, rng, "Clip", lo=0.0, hi=6.0)
    images = [{"x": rng.normal(size=(2, 4, 8, 8)).astype(np.float32)} for _ in range(3)]
    magnitudes = channel_magnitudes(graph, images) if seen else None
    made = equalize(graph, magnitudes, clamp_per_channel=True)
    values = FloatSession(graph, outputs=["ra", "rd"]).run(images[0])
    assert all((value == 6.0).any() for value in values.values()), "no value reaches the limit: nothing is tested"
    same_function(graph, made.graph, rng)
    assert [d.what for d in made.decisions] == ["channels equalized"] * 2
    for name, before in (("a", graph.constants["a_b"]), ("d", graph.constants["d_b"])):
        clamp = made.graph.by_name[f"n_r{name}"]
        assert (clamp.op, clamp.attrs["lo"]) == ("Clip", 0.0)
        factor = before.astype(np.float64) / made.graph.constants[f"{name}_b"]
        np.testing.assert_allclose(clamp.attrs["hi"], 6.0 / factor, rtol=1e-6, atol=0)
        assert max(clamp.attrs["hi"]) / min(clamp.attrs["hi"]) > 2
    evened = rows_of(made.graph.by_name["n_d"], made.graph.constants["d_w"])
    spread = rows_of(graph.by_name["n_d"], graph.constants["d_w"])
    assert evened.max() / evened.min() < spread.max() / spread.min()


def test_limits_of_channels_are_taken_further(net, rng):
    """An equalized network is equalized again: limits that differ by channel already are divided once more."""
    graph = depthwise_chain(net, rng, "Clip", lo=0.0, hi=6.0)
    first = equalize(graph, clamp_per_channel=True).graph
    seen = channel_magnitudes(first, [{"x": rng.normal(size=(2, 4, 8, 8)).astype(np.float32)}])
    second = equalize(first, seen, clamp_per_channel=True).graph
    assert second.by_name["n_ra"].attrs["hi"] != first.by_name["n_ra"].attrs["hi"]
    same_function(graph, second, rng)
    (note,) = {d.what for d in equalize(first).decisions}
    assert note == "not equalized", "without the clamp such a network is left alone too"


def test_relu6_around_a_residual_sum_and_a_classifier(net, rng):
    """One group with two clamps, a pooling and a Reshape inside; limits of a Gemm's output are [1, C]."""
    n = net()
    n.conv("x", "a", uneven(rng, 5, 4, 1, 1), rng.normal(size=5))
    n.node("Clip", ("a",), "ra", lo=0.0, hi=6.0)
    n.conv("ra", "b", uneven(rng, 5, 5, 1, 1), rng.normal(size=5))
    n.node("Add", ("ra", "b"), "s")
    n.node("Clip", ("s",), "rs", lo=0.0, hi=4.0)
    n.node("GlobalAveragePool", ("rs",), "p", (1, 5, 1, 1))
    n.node("Reshape", ("p",), "f", (1, 5), shape=(1, 5))
    n.node("Gemm", ("f", n.const("fc", uneven(rng, 7, 5))), "g", (1, 7), transB=1)
    n.node("Clip", ("g",), "rg", lo=0.0, hi=1.0)
    n.node("Gemm", ("rg", n.const("fd", rng.normal(size=(3, 7)))), "y", (1, 3), transB=1)
    graph = n.graph("y")
    made = equalize(graph, clamp_per_channel=True)
    same_function(graph, made.graph, rng)
    limits = {name: np.array(made.graph.by_name[f"n_{name}"].attrs["hi"]) for name in ("ra", "rs", "rg")}
    assert [value.shape for value in limits.values()] == [(5,), (5,), (7,)]
    np.testing.assert_allclose(limits["ra"] / limits["rs"], 1.5, rtol=1e-6)


@pytest.mark.parametrize(
    "attrs", [{"lo": -1.0, "hi": 1.0}, {"lo": 0.0, "hi": -1.0}, {"lo": -np.inf, "hi": 6.0}], ids=str
)
def test_other_clips_are_left_alone_whatever_the_target_can(net, rng, attrs):
    graph = depthwise_chain(net, rng, "Clip", **attrs)
    made = equalize(graph, clamp_per_channel=True)
    assert made.graph.nodes == graph.nodes
    assert {(d.what, d.why) for d in made.decisions} == {
        ("not equalized", f"Clip n_{name} does not commute with a factor a channel") for name in ("ra", "rd")
    }


def test_activations_count_where_their_ranges_are_known(net, rng):
    """One channel of the activation is a hundred times the others: it is shrunk, which weights alone would not do."""
    n = net()
    weights = np.ones((4, 4, 1, 1))
    n.conv("x", "a", weights, np.array([100.0, 0.0, 0.0, 0.0]))
    n.node("Relu", ("a",), "r")
    n.conv("r", "y", np.ones((2, 4, 1, 1)))
    graph = n.graph("y")
    images = [{"x": rng.normal(size=(2, 4, 8, 8)).astype(np.float32)} for _ in range(3)]
    seen = channel_magnitudes(graph, images)
    values = np.concatenate([FloatSession(graph, outputs=["r"]).run(feeds)["r"] for feeds in images])
    np.testing.assert_array_equal(seen["r"], np.abs(values).max(axis=(0, 2, 3)))
    same_function(graph, equalize(graph, seen).graph, rng)
    after = channel_magnitudes(equalize(graph, seen).graph, images)["r"]
    assert after.max() / after.min() < 0.7 * seen["r"].max() / seen["r"].min()
    unchanged = channel_magnitudes(equalize(graph).graph, images)["r"]
    np.testing.assert_allclose(unchanged, seen["r"], rtol=1e-5)


def test_residual_network(net, rng):
    n = net()
    n.conv("x", "a", uneven(rng, 5, 4, 1, 1))
    n.node("LeakyRelu", ("a",), "ra", alpha=0.1)
    n.conv("ra", "b", uneven(rng, 5, 5, 1, 1), rng.normal(size=5))
    n.node("Add", ("ra", "b"), "s")
    n.node("Relu", ("s",), "rs")
    n.node("GlobalAveragePool", ("rs",), "p", (1, 5, 1, 1))
    n.node("Reshape", ("p",), "f", (1, 5), shape=(1, 5))
    n.const("fc", rng.normal(size=(3, 5)))
    n.const("fb", rng.normal(size=(3,)))
    n.node("Gemm", ("f", "fc", "fb"), "y", (1, 3), transB=1)
    graph = n.graph("y")
    made = equalize(graph)
    same_function(graph, made.graph, rng)
    assert "read by n_b, n_y" in made.decisions[0].why


@pytest.mark.parametrize("group", [1, 2])
def test_grouped_and_transposed_layers(net, rng, group):
    n = net()
    n.conv("x", "a", uneven(rng, 6, 4, 1, 1))
    n.node("PRelu", ("a", n.const("slope", rng.uniform(0, 1, (6, 1, 1)))), "ra")
    n.conv("ra", "b", uneven(rng, 4, 6 // group, 1, 1), group=group)
    n.const("t_w", rng.normal(size=(4, 3, 2, 2)))
    n.node(
        "ConvTranspose",
        ("b", "t_w"),
        "t",
        (1, 3 * group, 16, 16),
        strides=(2, 2),
        dilations=(1, 1),
        pads=(0, 0, 0, 0),
        group=group,
        output_padding=(0, 0),
    )
    n.node("Relu", ("t",), "rt")
    n.conv("rt", "y", uneven(rng, 2, 3 * group, 1, 1))
    graph = n.graph("y")
    made = equalize(graph)
    same_function(graph, made.graph, rng)
    assert [d.what for d in made.decisions] == ["channels equalized"] * 3


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (
            lambda n: n.node("Clip", ("a",), "r", lo=0.0, hi=6.0),
            "Clip n_r needs a clamp per channel",
        ),
        (lambda n: n.node("Sigmoid", ("a",), "r"), "Sigmoid n_r does not commute with a factor a channel"),
        (lambda n: n.node("Add", ("a", n.const("k", np.ones((1, 6, 1, 1)))), "r"), "Add n_r does not commute"),
        (lambda n: n.node("Concat", ("a", "a"), "r", (1, 12, 8, 8), axis=1), "Concat n_r does not commute"),
        (lambda n: n.node("Transpose", ("a",), "r", (1, 6, 8, 8), perm=(0, 1, 3, 2)), "Transpose n_r does not"),
    ],
)
def test_what_is_left_alone(net, rng, build, reason):
    n = net()
    n.conv("x", "a", uneven(rng, 6, 4, 1, 1))
    build(n)
    n.conv("r", "y", uneven(rng, 3, n.tensors["r"].shape[1], 1, 1))
    graph = n.graph("y")
    made = equalize(graph)
    assert made.graph.constants["a_w"] is graph.constants["a_w"] or np.array_equal(
        made.graph.constants["a_w"], graph.constants["a_w"]
    )
    (note,) = [d for d in made.decisions if d.where == "n_a"]
    assert note.what == "not equalized"
    assert note.why.startswith(reason)


def test_network_outputs_are_left_alone(net, rng):
    n = net()
    n.conv("x", "a", uneven(rng, 6, 4, 1, 1))
    n.conv("a", "y", uneven(rng, 3, 6, 1, 1))
    made = equalize(n.graph("y", "a"))
    assert [d.why for d in made.decisions] == ["holds a network output"]
