"""Scaling between LayerNormalization and linear layers keeps what the network computes, and evens out its channels."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.calibration.collect import channel_magnitudes
from slimai.quantizer.rewrites.norm_scaling import norms_with_readers, scale_through_norms
from slimai.runtime.session import FloatSession

WIDTH = 16
PER_CHANNEL = ("MatMul", "Gemm")
generated = settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def normed(net, rng, shape=(1, 5, WIDTH), *, bias=True, outliers=2, spread=40.0):
    n = net(shape)
    gain = rng.uniform(0.5, 1.5, WIDTH)
    gain[rng.choice(WIDTH, outliers, replace=False)] *= spread
    inputs = ["x", n.const("gain", gain)] + ([n.const("bias", rng.normal(size=WIDTH))] if bias else [])
    n.node("LayerNormalization", inputs, "l", axis=len(shape) - 1, epsilon=1e-5)
    return n


def linear(n, rng, x, output, size=8):
    weight = n.const(f"{output}_w", rng.normal(size=(WIDTH, size)) / 4)
    return n.node("MatMul", (x, weight), output, (*n.tensors[x].shape[:-1], size))


def gemm(n, rng, x, output, *, turned):
    shape = (8, WIDTH) if turned else (WIDTH, 8)
    inputs = (x, n.const(f"{output}_w", rng.normal(size=shape) / 4), n.const(f"{output}_b", rng.normal(size=8)))
    return n.node("Gemm", inputs, output, (n.tensors[x].shape[0], 8), transB=int(turned))


def pictures(graph, count=4):
    rng = np.random.default_rng(5)
    return [{"x": rng.normal(size=graph.shape("x")).astype(np.float32)} for _ in range(count)]


def scaled(graph, ops=PER_CHANNEL):
    axes = {item.norm.outputs[0]: len(graph.shape(item.norm.outputs[0])) - 1 for item in norms_with_readers(graph)}
    return scale_through_norms(graph, channel_magnitudes(graph, pictures(graph), axes=axes), ops)


def same_function(graph, changed):
    """Tolerance: 1e-5 of the largest output."""
    for feeds in pictures(graph):
        before, after = FloatSession(graph).run(feeds), FloatSession(changed).run(feeds)
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, rtol=0, atol=1e-5 * np.abs(value).max())


@given(
    seed=st.integers(0, 2**32 - 1),
    form=st.sampled_from(["3-D", "2-D", "reshaped"]),
    bias=st.booleans(),
    residual=st.booleans(),
    ops=st.sampled_from([(), PER_CHANNEL]),
)
@generated
def test_the_function_stays_and_outliers_go(net, seed, form, bias, residual, ops):
    rng = np.random.default_rng(seed)
    n = normed(net, rng, (5, WIDTH) if form == "2-D" else (1, 5, WIDTH), bias=bias)
    outputs = [n.node("Relu", ("l",), "r")] if residual else []
    if form == "2-D":
        outputs += [gemm(n, rng, "l", f"y{turned}", turned=bool(turned)) for turned in (0, 1)]
    else:
        x = n.node("Reshape", ("l",), "v", (1, 1, 5, WIDTH), shape=(1, 1, 5, WIDTH)) if form == "reshaped" else "l"
        outputs += [linear(n, rng, x, "y0"), linear(n, rng, x, "y1", 3)]
    graph = n.graph(*outputs)
    made = scaled(graph, ops)
    same_function(graph, made.graph)
    (decision,) = made.decisions
    assert decision.what == "channels equalized", decision
    norms = [node for node in made.graph.nodes if node.op == "LayerNormalization"]
    assert len(norms) == 1 + residual
    before, after = (np.abs(value) for value in (graph.constants["gain"], made.graph.constants[norms[-1].inputs[1]]))
    assert after.max() / after.min() < before.max() / before.min()
    if residual:
        assert made.graph.by_name["n_r"].inputs == ("l",)
        assert norms[0] == graph.by_name["n_l"]


def test_even_channels_are_left_alone(net, rng):
    n = normed(net, rng, outliers=0)
    graph = n.graph(linear(n, rng, "l", "y"))
    made = scaled(graph)
    assert made.graph.nodes == graph.nodes
    assert [item.what for item in made.decisions] == ["not equalized"]


def shared_weight(n, rng):
    linear(n, rng, "l", "y")
    return "y", n.node("MatMul", ("x", "y_w"), "z", (1, 5, 8))


def computed_weight(n, rng):
    n.node("Transpose", ("x",), "t", (1, WIDTH, 5), perm=(0, 2, 1))
    return (n.node("MatMul", ("l", "t"), "y", (1, 5, 5)),)


def other_axis(n, rng):
    n.node("Transpose", ("l",), "t", (1, WIDTH, 5), perm=(0, 2, 1))
    return (n.node("MatMul", ("t", n.const("w", rng.normal(size=(5, 3)))), "y", (1, WIDTH, 3)),)


@pytest.mark.parametrize("readers", [shared_weight, computed_weight, other_axis])
def test_what_cannot_be_scaled_is_not_looked_at(net, rng, readers):
    n = normed(net, rng)
    graph = n.graph(*readers(n, rng))
    assert list(norms_with_readers(graph)) == []


def test_a_normalization_over_two_axes_is_left_alone(net, rng):
    n = net((1, 5, WIDTH))
    n.node("LayerNormalization", ("x", n.const("gain", rng.uniform(1, 50, (5, WIDTH)))), "l", axis=1, epsilon=1e-5)
    graph = n.graph(linear(n, rng, "l", "y"))
    assert list(norms_with_readers(graph)) == []
