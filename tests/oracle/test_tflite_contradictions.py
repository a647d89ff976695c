"""TFLite networks whose parameters contradict their operators are refused by operator."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_builder import Step, Tensor, build_network

from slimai.errors import InputError
from slimai.graph.tflite.load import load_tflite

CONV = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
CONV["FusedActivationFunction"] = 0
SCALES = np.array([0.01, 0.02, 0.03, 0.04], np.float32)


def network(*, axis=0, bias_zero=0, reshape_inputs=2, dequantize=False):
    tensors = [
        Tensor("x", (1, 4, 4, 4), "int8", 0.1, 0),
        Tensor("w", (4, 1, 1, 4), "int8", SCALES, 0, axis, np.ones((4, 1, 1, 4), np.int8)),
        Tensor("b", (4,), "int32", np.float32(0.1) * SCALES, bias_zero, 0, np.ones(4, np.int32)),
        Tensor("c", (1, 4, 4, 4), "int8", 0.2, 0),
        Tensor("s", (2,), "int32", data=np.array([1, 64], np.int32)),
        Tensor("y", (1, 64), "int8", 0.2, 0),
        Tensor("z", (1, 64), "int8", 0.2, 0),
    ]
    steps = [
        Step("CONV_2D", [0, 1, 2], [3], "Conv2D", CONV, 3),
        Step("RESHAPE", [3, 4, 4][: 1 + reshape_inputs - 1], [5], "Reshape", {"NewShape": [1, 64]}),
    ]
    if dequantize:
        steps.append(Step("DEQUANTIZE", [5], [6], "Dequantize", {}, 2))
    return build_network(tensors, steps, [0], [6 if dequantize else 5])


def test_the_sound_one_is_read(tmp_path):
    (tmp_path / "x.tflite").write_bytes(network())
    assert load_tflite(tmp_path / "x.tflite").graph.outputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axis": 3}, "CONV_2D 'c': the scales of constant 'w' belong to axis 3 of the file, not to its channels"),
        ({"bias_zero": 5}, "CONV_2D 'c': the bias 'b' has a zero point; it can have none (got 5)"),
        ({"reshape_inputs": 3}, "RESHAPE 'y': has more inputs than a tensor and its new shape (got 3)"),
        ({"dequantize": True}, "DEQUANTIZE: operator is not supported: z"),
    ],
)
def test_the_message(tmp_path, changes, message):
    path = tmp_path / "x.tflite"
    path.write_bytes(network(**changes))
    with pytest.raises(InputError) as caught:
        load_tflite(path)
    assert str(caught.value).startswith(f"{path}: {message}")
