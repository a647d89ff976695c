"""int16x8 TFLite networks: 0 integers of any tensor differ from LiteRT's reference kernels, at level 4 and no other."""

from __future__ import annotations

import numpy as np
import pytest
from stored_networks import differences, read
from tflite_builder import Step, Tensor, build, build_network

from slimai.errors import InputError
from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.params import S8, S16
from slimai.quantizer.prequantized import stored_plan


def wide_network(seed=0, size=8, channels=4) -> bytes:
    """Return conv, depthwise conv, add, mean pooling, reshape, dense and softmax with 16-bit activations."""
    rng = np.random.default_rng(seed)
    steps = np.float32(1 / rng.uniform(800, 3000, 4))

    def weight(name, shape, axis, count):
        scale = rng.uniform(0.004, 0.01, count).astype(np.float32)
        return Tensor(name, shape, "int8", scale, 0, axis, rng.integers(-127, 128, shape).astype(np.int8))

    def bias(name, x, w, count):
        return Tensor(name, (count,), "int64", x * w.scale, 0, 0, rng.integers(-50_000, 50_000, count).astype(np.int64))

    def activation(name, shape, scale):
        return Tensor(name, shape, "int16", scale, 0)

    half = size // 2
    inner = (1, half, half, channels)
    w0, w1 = weight("w0", (channels, 3, 3, 3), 0, channels), weight("w1", (1, 3, 3, channels), 3, channels)
    w2 = weight("w2", (5, channels), 0, 1)
    tensors = [
        activation("x", (1, size, size, 3), steps[0]), w0, bias("b0", steps[0], w0, channels),
        activation("c", inner, steps[1]), w1, bias("b1", steps[1], w1, channels), activation("d", inner, steps[2]),
        activation("s", inner, steps[3]), activation("p", (1, 1, 1, channels), steps[3]),
        Tensor("shape", (2,), "int32", data=np.array([-1, channels], np.int32)),
        activation("f", (1, channels), steps[3]),
        w2, bias("b2", steps[3], w2, 5), activation("l", (1, 5), steps[1]),
        activation("y", (1, 5), np.float32(1 / 32768)),
    ]  # fmt: skip
    conv = {"Padding": 0, "DilationHFactor": 1, "DilationWFactor": 1}
    one, two, none = {"StrideH": 1, "StrideW": 1}, {"StrideH": 2, "StrideW": 2}, {"FusedActivationFunction": 0}
    pool = {"Padding": 1, **one, "FilterHeight": half, "FilterWidth": half, **none}
    network = [
        Step("CONV_2D", [0, 1, 2], [3], "Conv2D", {**conv, **two, "FusedActivationFunction": 1}, 4),
        Step("DEPTHWISE_CONV_2D", [3, 4, 5], [6], "DepthwiseConv2D", {**conv, **one, "DepthMultiplier": 1, **none}, 5),
        Step("ADD", [3, 6], [7], "Add", {**none, "PotScaleInt16": False}, 2),
        Step("AVERAGE_POOL_2D", [7], [8], "Pool2D", pool, 3),
        Step("RESHAPE", [8, 9], [10], "Reshape", {"NewShape": [-1, channels]}),
        Step("FULLY_CONNECTED", [10, 11, 12], [13], "FullyConnected", none, 7),
        Step("SOFTMAX", [13], [14], "Softmax", {"Beta": 1.0}, 3),
    ]
    return build_network(tensors, network, [0], [14])


@pytest.mark.parametrize("seed", range(3))
def test_every_integer_is_litert_s(seed):
    found = differences(wide_network(seed, size=6 + 2 * seed, channels=3 + seed), 4)
    assert len(found) == 7
    assert set(found.values()) == {0}


def test_the_integers_are_kept_as_stored():
    network = read(wide_network())
    plan = stored_plan(network)
    assert plan.level == 4
    assert {params.dtype for params in plan.tensors.values()} == {S16}
    conv = plan.layers[0]
    assert conv.weight.dtype is S8
    np.testing.assert_array_equal(conv.weight.values, network.integers["w0"])
    np.testing.assert_array_equal(conv.bias, network.integers["b0"])


@pytest.mark.parametrize("level", range(4))
def test_other_levels_are_refused_with_the_level_that_is_possible(level):
    with pytest.raises(InputError) as caught:
        stored_plan(read(wide_network()), level)
    assert str(caught.value) == (
        "quantization.accuracy_level: a network with 16-bit activations (int16x8) allows level 4 only "
        f"(got {level}); set quantization.accuracy_level=4"
    )


def test_two_widths_are_refused(tmp_path):
    ins, outs = [Tensor("x", (1, 4), "int8", 0.1, 3)], [Tensor("y", (1, 4), "int16", 0.001, 0)]
    path = tmp_path / "net.tflite"
    path.write_bytes(build("QUANTIZE", ins, outs))
    with pytest.raises(InputError, match="1 of 2 activations have 16 bits, the others 8; one width is supported"):
        load_tflite(path)


def test_a_16_bit_activation_with_a_zero_point_is_refused(tmp_path):
    ins, outs = [Tensor("x", (1, 4), "int16", 0.1, 3)], [Tensor("y", (1, 4), "int16", 0.1, 3)]
    path = tmp_path / "net.tflite"
    path.write_bytes(build("RELU", ins, outs))
    with pytest.raises(InputError, match="the zero point of 'x' is 3; an int16 activation has 0"):
        load_tflite(path)
