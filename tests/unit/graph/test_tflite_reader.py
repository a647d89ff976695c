"""The TFLite reader: names, float edges, and what it says about models that it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))  # the flatbuffer builder

from small_network import small_network
from tflite_builder import Step, Tensor, build, build_network

from slimai.errors import InputError, UnsupportedError
from slimai.graph.tflite.load import load_tflite

GRID = (0.1, 3)


def saved(tmp_path, model):
    path = tmp_path / "net.tflite"
    path.write_bytes(model)
    return path


def refusal(tmp_path, model, kind=InputError):
    path = saved(tmp_path, model)
    with pytest.raises(kind) as caught:
        load_tflite(path)
    return [str(item).removeprefix(f"{path}: ") for item in caught.value.diagnostics]


def test_the_graph_of_a_small_network(tmp_path):
    network = load_tflite(saved(tmp_path, small_network()))
    graph = network.graph
    assert (graph.name, graph.inputs, graph.outputs) == ("net", ("image",), ("classes",))
    ops = [node.op for node in graph.nodes]
    assert ops == ["Conv", "Clip", "Conv", "Add", "AveragePool", "Reshape", "Gemm", "Softmax"]
    conv = graph.by_name["conv"]
    # SAME, stride 2, 3x3 on 8x8: one pixel after, none before
    assert conv.attrs["pads"] == (0, 0, 1, 1)
    assert conv.attrs["channels_last"] == 1
    assert graph.shape("conv/w") == (4, 3, 3, 3)
    assert graph.by_name["dw"].attrs["group"] == 4
    assert graph.shape("dw/w") == (4, 1, 3, 3)
    assert network.folded == {"conv__clip"}
    assert graph.batchable
    weight = network.params["conv/w"]
    np.testing.assert_allclose(
        graph.constants["conv/w"], network.integers["conv/w"] * weight.scale.reshape(4, 1, 1, 1), rtol=1e-6
    )


def test_float_edges_are_left_out_under_their_own_names(tmp_path):
    network = load_tflite(saved(tmp_path, small_network(float_edges=True)))
    assert network.graph.inputs == ("picture",)
    assert network.graph.outputs == ("probability",)
    assert network.params["picture"].zero_point == -128
    assert network.graph.history == (
        "QUANTIZE of input 'picture' left out: the network begins with integers",
        "DEQUANTIZE to output 'probability' left out: the network ends with integers",
    )


def test_equal_names_get_numbers(tmp_path):
    tensors = [Tensor("a", (1, 4), "int8", *GRID) for _ in range(3)]
    model = build_network(tensors, [Step("RELU", [0], [1]), Step("RELU", [1], [2])], [0], [2])
    network = load_tflite(saved(tmp_path, model))
    assert network.numbers == {0: "a", 1: "a_2", 2: "a_3"}


def test_every_unsupported_operator_and_float_tensor_is_told_at_once(tmp_path):
    tensors = [
        Tensor("x", (1, 4), "int8", *GRID), Tensor("e", (1, 4), "int8", *GRID), Tensor("f", (1, 4), "float32"),
        Tensor("g", (1, 4), "float32"), Tensor("w", (1, 4), "int16", 0.1, 0),
    ]  # fmt: skip
    steps = [
        Step("SIN", [0], [1], version=1),
        Step("DEQUANTIZE", [1], [2]),
        Step("COS", [2], [3], version=1),
        Step("QUANTIZE", [3], [4], version=1),
    ]
    assert refusal(tmp_path, build_network(tensors, steps, [0], [4]), UnsupportedError) == [
        "SIN: operator is not supported: e",
        "COS: operator is not supported: g",
        *(
            f"{name}: tensor is {kind}; the network must be fully 8-bit; "
            "convert with 8-bit integer inputs, outputs and operators"
            for name, kind in (("f", "float32"), ("g", "float32"))
        ),
    ]


def activation(name, shape, grid=GRID, dtype="int8"):
    return Tensor(name, shape, dtype, *grid)


def ints(*values):
    return Tensor("c", (len(values),), "int32", data=np.array(values, np.int32))


def conv(shape=(4, 3, 3, 3), bias=4, padding=0, out=(1, 8, 8, 4), scale=0.01, fused=0, stride=1, bias_scale=0.001):
    w = Tensor("w", shape, "int8", scale, 0, 0, np.ones(shape, np.int8))
    b = Tensor("b", (bias,), "int32", bias_scale, 0, 0, np.zeros(bias, np.int32))
    fields = {"Padding": padding, "StrideH": stride, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    ins, outs = [activation("x", (1, 8, 8, 3)), w, b], [activation("y", out)]
    return build("CONV_2D", ins, outs, "Conv2D", FusedActivationFunction=fused, **fields)


BIAS_SCALE = "CONV_2D 'y': the scale of the bias 'b' is not that of its input times its weights', 0.001"
WRONG = {
    "window": (
        conv((4, 9, 3, 3), padding=1),
        "CONV_2D 'y': its window is larger than its input (got [9, 3])",
    ),
    "stride": (
        conv(stride=0),
        "CONV_2D 'y': its window is not possible (got {'kernel': (3, 3), 'strides': (0, 1), 'dilations': (1, 1)})",
    ),
    "channels": (
        conv((4, 3, 3, 2)),
        "CONV_2D 'y': weights of 2 input channels do not fit 3 channels (got [4, 3, 3, 2])",
    ),
    "bias": (conv(bias=3), "CONV_2D 'y': the bias 'b' is not a constant [4] int32 (got [3, 'int32'])"),
    "shape": (
        conv(out=(1, 8, 7, 4)),
        "CONV_2D 'y': declares the output shape [1, 8, 7, 4], it computes [1, 8, 8, 4]",
    ),
    "bias scale": (
        conv(bias_scale=0.5),
        f"{BIAS_SCALE} (got 0.5); convert the model again",
    ),
    "bias scale NaN": (
        conv(bias_scale=float("nan")),
        f"{BIAS_SCALE} (got nan); convert the model again",
    ),
    "negative bias scale": (conv(bias_scale=-0.5), f"{BIAS_SCALE} (got -0.5); convert the model again"),
    "bias scales": (conv(bias_scale=[0.001, 0.001]), "CONV_2D 'y': the bias 'b' has 2 scales for 1 channels"),
    "scale": (conv(scale=float("nan")), "CONV_2D 'y': a scale of constant 'w' is not a positive number below 2^32"),
    "scales": (conv(scale=[0.1, 0.1]), "CONV_2D 'y': constant 'w' has 2 scales for 4 channels"),
    "activation": (conv(fused=4), "CONV_2D 'y': its fused activation is not supported (got 4)"),
    "no grid": (
        build("RELU", [Tensor("x", (1, 4), "int8")], [activation("y", (1, 4))]),
        "x: activation 'x' needs one scale and zero point, it has 0",
    ),
    "zero point": (
        build("RELU", [activation("x", (1, 4))], [activation("y", (1, 4), (0.1, 300))]),
        "RELU 'y': the zero point 300 of 'y' does not fit int8",
    ),
    "softmax": (
        build("SOFTMAX", [activation("x", (1, 4))], [activation("y", (1, 4), (1 / 256, -128))], "Softmax", Beta=2.0),
        "SOFTMAX 'y': only a beta of 1 is supported (got 2.0)",
    ),
    "softmax grid": (
        build("SOFTMAX", [activation("x", (1, 4))], [activation("y", (1, 4), (0.5, 0))], "Softmax", Beta=1.0),
        "SOFTMAX 'y': the output's scale and zero point are not 0.00390625 and -128 (got [0.5, 0])",
    ),
    "no options": (
        build("SOFTMAX", [activation("x", (1, 4))], [activation("y", (1, 4))]),
        "SOFTMAX 'y': lacks its options (no Beta)",
    ),
    "perm": (
        build("TRANSPOSE", [activation("x", (1, 2, 3)), ints(0, 1, 1)], [activation("y", (1, 3, 2))], "Transpose"),
        "TRANSPOSE 'y': its permutation does not fit 3 axes (got [0, 1, 1])",
    ),
    "reshape": (
        build("RESHAPE", [activation("x", (1, 6)), ints(1, 5)], [activation("y", (1, 5))], "Reshape"),
        "RESHAPE 'y': cannot give [1, 6] the shape [1, 5]",
    ),
    "grids": (
        build("CONCATENATION", [activation("a", (1, 2)), activation("b", (1, 2), (0.2, 0))],
              [activation("y", (1, 4))], "Concatenation", Axis=1, FusedActivationFunction=0),
        "CONCATENATION 'y': int8 inputs need the scale and zero point of the output",
    ),
    "computed axes": (
        build("MEAN", [activation("x", (1, 4, 4, 2)), activation("axes", (2,))],
              [activation("y", (1, 2))], "Reducer", KeepDims=False),
        "MEAN 'y': input 1 is not a constant of integers (got 'int8')",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_said(tmp_path, name):
    model, expected = WRONG[name]
    assert refusal(tmp_path, model) == [expected]


@pytest.mark.parametrize("bias_scale", [0.001, 0.0029, 0.0001])
def test_bias_scales_within_2_percent_of_an_output_step_pass(tmp_path, bias_scale):
    """As in LiteRT; the bias is at s_x * s_w whatever its own scale says."""
    network = load_tflite(saved(tmp_path, conv(bias_scale=bias_scale)))
    assert network.params["b"].scale == pytest.approx(0.001)


def test_errors_of_independent_operators_are_told_together_and_their_consequences_are_not(tmp_path):
    tensors = [activation("x", (1, 4)), *(activation(name, (1, 4)) for name in "abc"), activation("d", (1, 5))]
    steps = [
        Step("SOFTMAX", [0], [1], "Softmax", {"Beta": 2.0}),
        Step("RELU", [1], [2]),
        Step("RELU", [2], [3]),
        Step("RELU", [0], [4]),
    ]
    assert refusal(tmp_path, build_network(tensors, steps, [0], [3, 4])) == [
        "SOFTMAX 'a': only a beta of 1 is supported (got 2.0)",
        "RELU 'd': declares the output shape [1, 5], it computes [1, 4]",
    ]


def test_operators_in_the_wrong_order(tmp_path):
    tensors = [activation(name, (1, 4)) for name in "xab"]
    model = build_network(tensors, [Step("RELU", [1], [2]), Step("RELU", [0], [1])], [0], [2])
    assert refusal(tmp_path, model) == ["RELU 'b': reads 'a' before it is computed"]


def test_an_output_that_nothing_computes(tmp_path):
    tensors = [activation(name, (1, 4)) for name in "xab"]
    model = build_network(tensors, [Step("RELU", [0], [1])], [0], [1, 2])
    assert refusal(tmp_path, model) == ["b: is an output that nothing computes"]


def test_a_float_network_is_one_mistake(tmp_path):
    tensors = [Tensor("x", (1, 8), "float32"), Tensor("a", (1, 8), "float32"), Tensor("y", (1, 8), "float32")]
    model = build_network(tensors, [Step("RELU", [0], [1]), Step("LOGISTIC", [1], [2])], [0], [2])
    assert refusal(tmp_path, model, UnsupportedError) == [
        (
            "network.model_type: a float network: none of the 2 tensors that it computes is quantized; set "
            "network.model_type: float, or quantize it fully to 8 bit"
        )
    ]
