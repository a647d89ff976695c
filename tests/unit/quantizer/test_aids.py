"""Weight clipping against brute force; bias correction against the means that a float network really has."""

import numpy as np
import pytest

from slimai.graph.ir import Node
from slimai.quantizer import _kernels, _reference
from slimai.quantizer.bias_correction import empirical_offsets, mean_error
from slimai.quantizer.clipping import RATIOS, clipped_peaks
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import S8, S16
from slimai.quantizer.planner import build_plan
from slimai.quantizer.weights import WeightLayout
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


def test_empirical_offsets_follow_the_float_means_part_by_part():
    """A chain whose layers each add an error and pass on that of the one before: all are removed."""
    truth = {f"t{i}": np.full(2, float(i)) for i in range(6)}
    errors = {f"n{i}": np.array([0.5, -0.25]) * (i + 1) for i in range(6)}
    asked = []

    def measure(offsets, tensors):
        asked.append(tuple(tensors))
        carried, found = np.zeros(2), {}
        for i in range(6):
            carried = carried + errors[f"n{i}"] + offsets.get(f"n{i}", 0)
            found[f"t{i}"] = truth[f"t{i}"] + carried
        return {name: found[name] for name in tensors}

    layers = [(f"n{i}", f"t{i}") for i in range(6)]
    offsets = empirical_offsets(layers, truth, measure, slices=6)
    for i in range(6):
        np.testing.assert_allclose(offsets[f"n{i}"], -errors[f"n{i}"], atol=1e-12)
    assert asked == [(f"t{i}",) for i in range(6)]
    empirical_offsets(layers, truth, measure, slices=2)
    assert asked[-2:] == [("t0", "t1", "t2"), ("t3", "t4", "t5")]
