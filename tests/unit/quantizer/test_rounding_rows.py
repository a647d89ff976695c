"""A weighted layer as a matrix product: what it reads at a position times its weights is what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.quantizer.rounding.moments import Moments, target_units
from slimai.quantizer.rounding.rows import Rows
from slimai.runtime.session import FloatSession


def layer(op, x_shape, weights, y_shape, **attrs):
    """Return a network of one layer without a bias."""
    tensors = {name: TensorInfo(name, shape) for name, shape in (("x", x_shape), ("w", weights.shape), ("y", y_shape))}
    node = Node("n", op, ("x", "w"), ("y",), attrs)
    return Graph("net", (node,), ("x",), ("y",), tensors, {"w": weights}), node


def convolution(rng, *, transposed, spatial, groups, kernel, stride, dilation, pad):
    sizes = tuple(rng.integers(3, 8, size=spatial).tolist())
    inputs, outputs = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    split = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    weights = rng.integers(-9, 10, size=(*split, *(kernel,) * spatial)).astype(np.float32)
    span = (kernel - 1) * dilation + 1
    pads = (pad,) * (2 * spatial)
    if transposed:
        result = tuple((size - 1) * stride - 2 * pad + span for size in sizes)
    else:
        result = tuple((size + 2 * pad - span) // stride + 1 for size in sizes)
    attrs = {"strides": (stride,) * spatial, "dilations": (dilation,) * spatial, "pads": pads, "group": groups}
    if transposed:
        attrs["output_padding"] = (0,) * spatial
    op = "ConvTranspose" if transposed else "Conv"
    return layer(op, (1, inputs, *sizes), weights, (1, outputs, *result), **attrs), min(result)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    transposed=st.booleans(),
    spatial=st.integers(1, 2),
    groups=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pad=st.integers(0, 1),
)
def test_reads_times_weights_are_the_writes_of_convolutions(seed, transposed, **form):
    rng = np.random.default_rng(seed)
    (graph, node), smallest = convolution(rng, transposed=transposed, **form)
    if smallest < 1:
        return
    check(graph, node, rng)


@pytest.mark.parametrize("op", ["Gemm", "Gemm^T", "MatMul", "MatMul on tokens"])
def test_reads_times_weights_are_the_writes_of_matrix_products(op):
    rng = np.random.default_rng(3)
    weights = rng.integers(-9, 10, size=(6, 4)).astype(np.float32)
    if op.startswith("Gemm"):
        flipped = op.endswith("T")
        graph, node = layer("Gemm", (1, 6), weights.T if flipped else weights, (1, 4), transB=int(flipped))
    else:
        lead = (1, 5, 3) if "tokens" in op else (1,)
        graph, node = layer("MatMul", (*lead, 6), weights, (*lead, 4))
    check(graph, node, rng)


def check(graph, node, rng):
    """Compare at every position: integers below 2^24, so that float32 sums are exact."""
    rows = Rows.of(graph, node)
    x = rng.integers(-99, 100, size=graph.shape("x")).astype(np.int16)
    y = FloatSession(graph).run({"x": x.astype(np.float32)})["y"]
    every = np.arange(rows.positions)
    reads = rows.reads(x, every)
    weights = graph.constants["w"]
    assert reads.shape == (rows.groups, rows.positions, rows.inputs)
    made = np.einsum("gnk,gok->ngo", reads.astype(np.int64), rows.weights(weights).astype(np.int64))
    np.testing.assert_array_equal(made.reshape(rows.positions, -1), rows.writes(y, every))
    np.testing.assert_array_equal(rows.stored(rows.weights(weights), weights), weights)


def test_what_is_no_product_of_an_activation_and_a_constant_matrix_has_no_rows():
    stacked, node = layer("MatMul", (2, 3, 4), np.ones((2, 4, 5), np.float32), (2, 3, 5))
    assert Rows.of(stacked, node) is None
    graph, relu = layer("Relu", (1, 3), np.ones((1,), np.float32), (1, 3))
    assert Rows.of(graph, relu) is None


@pytest.mark.parametrize(("images", "count"), [(4, 128), (16, 64), (1000, 64), (1, 400)])
def test_positions_are_few_the_same_every_time_and_spread(images, count):
    weights = np.ones((2, 64, 1, 1), np.float32)
    attrs = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "group": 1}
    graph, node = layer("Conv", (1, 64, 20, 20), weights, (1, 2, 20, 20), **attrs)
    rows = Rows.of(graph, node)
    assert rows.samples(images) == count == min(400, max(64, 8 * 64 // images))
    first, again, other = rows.chosen(images, 0), rows.chosen(images, 0), rows.chosen(images, 1)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first)) == count
    assert (np.diff(first) > 0).all()
    assert count == 400 or not np.array_equal(first, other)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), groups=st.integers(1, 3), inputs=st.sampled_from((3, 64, 65, 90)))
def test_moments_are_exact_sums_whatever_the_parts(seed, groups, inputs):
    rng = np.random.default_rng(seed)
    v = rng.integers(-255, 256, size=(groups, 700, inputs)).astype(np.int16)
    y = rng.integers(-32767, 32768, size=(700, groups * 2)).astype(np.int16)
    whole, parts, rest = (Moments.empty(groups, inputs, 2) for _ in range(3))
    whole.add(v, y, 255)
    parts.add(v[:, :13], y[:13], 255)
    rest.add(v[:, 13:], y[13:], 255)
    merged = parts.merged(rest)
    wide, targets = v.astype(np.int64), y.astype(np.int64).reshape(700, groups, 2).transpose(1, 0, 2)
    for found in (whole, merged):
        assert found.count == 700
        np.testing.assert_array_equal(found.vv, np.einsum("gni,gnj->gij", wide, wide))
        np.testing.assert_array_equal(found.vy, np.einsum("gni,gno->gio", wide, targets))
        np.testing.assert_array_equal(found.v, wide.sum(axis=1))
        np.testing.assert_array_equal(found.yy, (targets**2).sum(axis=1))
        np.testing.assert_array_equal(found.y, targets.sum(axis=1))


def test_targets_are_held_in_16_bits_of_each_channel():
    y = np.array([[[1.0, 0.0, -1e-20], [-3.0, 0.0, 5e-21]]])
    units = target_units(y)
    np.testing.assert_allclose(units * np.array([32767, 0, 32767]), [3.0, 0.0, 1e-20])
    assert np.abs(np.rint(y / units)).max() == 32767
