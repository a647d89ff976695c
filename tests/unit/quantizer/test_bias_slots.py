"""No layer holds a constant that its operator has no place for, and channel means are those of the operator's axis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.calibration.statistics import channel_sums
from slimai.graph.ir import Node
from slimai.quantizer.bias_correction import channel_means, shifted
from slimai.quantizer.layers import weighted_inputs
from slimai.quantizer.params import S8, QParams
from slimai.quantizer.plan import Layer, QWeight

WEIGHT = QWeight(np.ones((4, 4), np.int8), S8, np.ones(1))
PARAMS = QParams(S8, 0.5, 0)


@pytest.mark.parametrize("op", ["MatMul", "Add", "MaxPool", "Erf"])
def test_layer_refuses_a_bias_without_a_place(op):
    node = Node("n", op, ("x", "w"), ("y",))
    with pytest.raises(ValueError, match=f"{op} has no place for a bias"):
        Layer("L", op, node, ("x",), ("y",), bias=np.zeros(4, np.int64))


def test_layer_refuses_weights_and_operands_without_a_place():
    with pytest.raises(ValueError, match="no place for weights"):
        Layer("L", "Add", Node("n", "Add", ("x", "w"), ("y",)), ("x",), ("y",), weight=WEIGHT)
    with pytest.raises(ValueError, match=r"no operands \[2\]"):
        Layer("L", "Add", Node("n", "Add", ("x", "w"), ("y",)), ("x",), ("y",), operands={2: (np.ones(1), PARAMS)})


def test_a_matmul_is_not_shifted():
    layer = Layer("L", "MatMul", Node("n", "MatMul", ("x", "w"), ("y",)), ("x",), ("y",), weight=WEIGHT)
    assert shifted(layer, np.ones(4), PARAMS) is layer


def test_only_layers_with_a_place_for_a_bias_want_means(net):
    n = net((1, 4))
    n.const("w", np.ones((4, 4)))
    n.node("MatMul", ("x", "w"), "a", (1, 4))
    n.node("Gemm", ("a", "w"), "y", (1, 4), transB=0)
    assert weighted_inputs(n.graph("y")) == {"a": 1}


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4).flatmap(
        lambda shape: st.tuples(st.just(tuple(shape)), st.integers(1, len(shape) - 1))
    ),
    st.integers(0, 2**31),
)
def test_means_are_those_of_the_axis(case, seed):
    """Oracle: NumPy's mean in float64; tolerance 1e-6 relative to the largest value (one image is rounded once)."""
    shape, axis = case
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    others = tuple(place for place in range(len(shape)) if place != axis)
    wanted = values.astype(np.float64).mean(axis=others)
    np.testing.assert_allclose(channel_sums(values, axis).means, wanted, rtol=0, atol=1e-6 * np.abs(values).max())
    integers = np.random.default_rng(seed).integers(-100, 100, shape).astype(np.int8)
    wanted = integers.mean(axis=others, dtype=np.float64) * 0.5
    np.testing.assert_allclose(channel_means([integers], PARAMS, axis), wanted, rtol=0, atol=1e-9)


def test_sums_along_two_axes_are_not_merged():
    values = np.zeros((1, 3, 3), np.float32)
    with pytest.raises(ValueError, match="along one axis"):
        channel_sums(values, 1).merged(channel_sums(values, 2))
