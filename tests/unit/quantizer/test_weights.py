"""Integer weights and biases against plain Python arithmetic, and the floors that make biases fit."""

import numpy as np
import pytest

from slimai.errors import InputError
from slimai.graph.ir import Node
from slimai.quantizer.params import S8, S16
from slimai.quantizer.weight_layout import WeightLayout, weight_layout
from slimai.quantizer.weights import bias_integers, quantize_constant, quantize_layer

CONV = WeightLayout(0)


def f32(value):
    return float(np.float32(value))


def test_per_channel_by_hand():
    weights = np.array([[1.0, -2.0], [0.5, 0.1]], np.float32).reshape(2, 2, 1, 1)
    made = quantize_layer("n", weights, np.array([1.0, -1.0]), CONV, 0.5, S8, per_channel=True)
    scales = [f32(2 / 127), f32(np.float32(0.5) / 127)]
    assert made.weight.scale.tolist() == scales
    expected = [[round(1 / scales[0]), -127], [127, round(float(np.float32(0.1)) / scales[1])]]
    assert made.weight.values.reshape(2, 2).tolist() == expected
    assert made.bias.tolist() == [round(1 / (0.5 * scales[0])), round(-1 / (0.5 * scales[1]))]
    assert made.weight.values.dtype == np.int8
    assert made.decisions == ()


def test_per_tensor_uses_one_scale():
    weights = np.array([1.0, -4.0, 0.5], np.float32).reshape(3, 1, 1, 1)
    made = quantize_layer("n", weights, None, CONV, 0.5, S8, per_channel=False)
    assert made.weight.scale.tolist() == [f32(4 / 127)]
    assert made.weight.values.ravel().tolist() == [32, -127, 16]
    assert made.bias is None


def test_weights_round_half_to_even_and_never_take_minus_128():
    scale = f32(127.0 / 127)
    weights = np.array([0.5, 1.5, 2.5, -127.0, 127.0], np.float32).reshape(5, 1)
    made = quantize_layer("n", weights, None, WeightLayout(0), 1.0, S8, per_channel=False)
    assert scale == 1.0
    assert made.weight.values.ravel().tolist() == [0, 2, 2, -127, 127]


def test_level_4_uses_16_bits_and_a_64_bit_bias():
    weights = np.array([1.0, 0.25], np.float32).reshape(2, 1, 1, 1)
    bias = np.array([2.0, -3.0])
    made = quantize_layer("n", weights, bias, CONV, 1e-4, S16, per_channel=True, wide=True)
    assert made.weight.values.ravel().tolist() == [32767, 32767]
    for value, found, scale in zip(bias, made.bias, made.weight.scale, strict=True):
        assert found == round(value / (1e-4 * scale))


def test_a_bias_that_does_not_fit_raises_its_channel_and_is_reported():
    weights = np.array([1.0, 1e-9], np.float32).reshape(2, 1, 1, 1)
    bias = np.array([0.0, 5.0])
    made = quantize_layer("conv", weights, bias, CONV, 0.01, S8, per_channel=True)
    assert np.abs(made.bias).max() <= 2**30 * (1 + 1e-6)
    assert made.bias[1] * 0.01 * made.weight.scale[1] == pytest.approx(5.0, rel=1e-6)
    assert [str(d.what) for d in made.decisions] == ["weight scale raised in channel 1"]
    assert made.decisions[0].where == "conv"


def test_no_scale_is_below_2_to_minus_24_of_the_largest():
    weights = np.array([1.0, 1e-12, 1e-20], np.float32).reshape(3, 1, 1, 1)
    made = quantize_layer("n", weights, None, CONV, 0.01, S8, per_channel=True)
    assert made.weight.scale.min() >= made.weight.scale.max() * 2.0**-24 * (1 - 1e-6)
    assert made.weight.values.ravel().tolist() == [127, 0, 0]
    assert "below 2^-24" in made.decisions[0].why


def test_channels_of_zeros_keep_their_bias():
    """Tolerance: 2^-22 relative, far below a step of any 8-bit output."""
    weights = np.zeros((3, 2, 1, 1), np.float32)
    weights[0] = 0.7
    bias = np.array([0.1, -0.37, 0.0])
    made = quantize_layer("n", weights, bias, CONV, 0.02, S8, per_channel=True)
    kept = made.bias * 0.02 * made.weight.scale
    np.testing.assert_allclose(kept[1:], bias[1:], rtol=2.0**-22, atol=0)
    assert "keeps its bias" in made.decisions[0].why
    alone = quantize_layer("n", weights[1:], bias[1:], CONV, 0.02, S8, per_channel=False)
    np.testing.assert_allclose(alone.bias * 0.02 * alone.weight.scale[0], bias[1:], rtol=2.0**-21, atol=0)


def test_a_layer_of_zeros_has_a_usable_scale():
    made = quantize_layer("n", np.zeros((2, 1), np.float32), np.zeros(2), CONV, 0.02, S8, per_channel=True)
    assert made.weight.scale.tolist() == [1.0, 1.0]
    assert made.bias.tolist() == [0, 0]


@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution_channels(group):
    """Oracle: a loop over groups and channels. Weights are [I, O/group, kh, kw]."""
    rng = np.random.default_rng(group)
    weights = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    layout = weight_layout(Node("t", "ConvTranspose", (), (), {"group": group}), weights.shape)
    made = quantize_layer("n", weights, None, layout, 1.0, S8, per_channel=True)
    for g in range(group):
        rows = slice(g * 4 // group, (g + 1) * 4 // group)
        for j in range(3):
            peak = float(np.abs(weights[rows, j]).max())
            scale = made.weight.scale[g * 3 + j]
            assert scale == f32(peak / 127)
            np.testing.assert_array_equal(made.weight.values[rows, j], np.rint(weights[rows, j].astype(float) / scale))


@pytest.mark.parametrize(("trans", "axis"), [(0, 1), (1, 0)])
def test_gemm_channels(trans, axis):
    weights = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    layout = weight_layout(Node("g", "Gemm", (), (), {"transB": trans}), weights.shape)
    made = quantize_layer("n", weights, None, layout, 1.0, S8, per_channel=True)
    expected = np.abs(weights).max(axis=1 - axis) / 127
    np.testing.assert_allclose(made.weight.scale, expected, rtol=1e-7)
    assert made.weight.axis == axis


def test_slopes_are_symmetric_with_one_scale():
    kept = quantize_constant(np.array([0.25, -0.5], np.float32), S8)
    assert kept.values.tolist() == [64, -127]
    assert kept.scale.tolist() == [f32(0.5 / 127)]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e30, 3e38])
def test_a_given_bias_that_fits_no_integer_is_refused(bits, bad):
    """It was cast to the lowest integer of 64 bits, with NumPy's warning."""
    room = {8: 31, 16: 47}[bits]
    scale = np.array([2.0**-20, 2.0**-1074])
    assert bias_integers(np.array([2.5, 0.0], np.float32), scale, bits, "n").tolist() == [2621440, 0]
    with pytest.raises(
        InputError, match=rf"n: the bias needs more than {room} bits .* \(got .*quantize the model again"
    ):
        bias_integers(np.array([1.0, bad], np.float32), scale, bits, "n")
