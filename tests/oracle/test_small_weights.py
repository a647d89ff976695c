"""Channels whose weights are tiny beside the others, or beside their bias, as pruning leaves them behind."""

from __future__ import annotations

import numpy as np
from float_levels import F32, Case, network, samples
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def layers(draw):
    """Return (operator, exponents of ten of the weights, biases) of a layer with three output channels."""
    op = draw(st.sampled_from(["Conv", "ConvTranspose", "Gemm", "MatMul"]))
    exponents = draw(st.lists(st.integers(-30, 2), min_size=3, max_size=3))
    biases = draw(st.lists(st.sampled_from([0.0, 1e-3, 0.02, 0.5, -1.0, 3.0]), min_size=3, max_size=3))
    return op, exponents, biases


def small_weight_case(folder, op, exponents, biases):
    rng, peaks = np.random.default_rng(2), 10.0 ** np.array(exponents)
    bias = np.array(biases, F32)
    if op in {"Conv", "ConvTranspose"}:
        w = rng.uniform(-1, 1, (3, 3, 1, 1)) * peaks.reshape((3, 1, 1, 1) if op == "Conv" else (1, 3, 1, 1))
        shape, nodes = (1, 3, 4, 4), [(op, ["x", "w", "b"], ["y"], {})]
    else:
        w, shape = rng.uniform(-1, 1, (6, 3)) * peaks, (1, 6)
        nodes = [("Gemm", ["x", "w", "b"], ["y"], {})]
        if op == "MatMul":
            nodes = [("MatMul", ["x", "w"], ["m"], {}), ("Add", ["m", "b"], ["y"], {})]
    constants = {"w": w.astype(F32), "b": bias}
    return Case(folder, network(nodes, {"x": shape}, ["y"], constants), samples(rng, {"x": shape}))


@settings(max_examples=60, deadline=None)
@given(layers(), st.sampled_from(["native", "gemmlowp", "tflite_s64", "single", "xi_sym"]))
def test_every_bias_stays(tmp_path_factory, layer, arithmetic):
    case = small_weight_case(tmp_path_factory.mktemp("small"), *layer)
    case.check_float(1e-5)
    case.check_levels(0.02, arithmetic=arithmetic)


def test_a_bias_of_half_the_range_beside_weights_of_1e_8(tmp_path):
    case = small_weight_case(tmp_path, "Conv", [0, -8, -20], [0.0, 0.5, -1.0])
    case.check_levels(0.02)


def test_a_whole_layer_of_tiny_weights(tmp_path):
    for exponent in (-8, -12, -30):
        case = small_weight_case(tmp_path, "Conv", [exponent] * 3, [0.3, -0.1, 1.0])
        case.check_levels(0.02)
