"""`bias_absorption: true`: the constant part of a channel is in the next layer's bias of what is delivered."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytestmark = pytest.mark.slow
WORDS = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "dataset.validation_count=48",
    "quantization.range=100",
    "quantization.accuracy_level=3",
    "quantization.equalization=false",
    "quantization.bias_correction=false",
)
RAISED = 5  # a channel in front of the classifier, made to stay about 2


@pytest.fixture(scope="module")
def model(tmp_path_factory, repo_root):
    """Return the digits' network with one channel in front of the pooling that stays between its clamps, 0 and 6.

    The classifier's bias gives back what that channel adds, so that the scores stay high.
    """
    found = onnx.load(repo_root / "examples" / "data" / "models" / "mobilenet_digits.onnx")
    values = {item.name: item for item in found.graph.initializer}
    changed = {name: numpy_helper.to_array(values[name]).copy() for name in ("features.9.weight", "features.9.bias")}
    changed["features.9.weight"][RAISED] *= 0.05
    changed["features.9.bias"][RAISED] = 2.0
    matrix = numpy_helper.to_array(values["classifier.weight"])
    changed["classifier.bias"] = numpy_helper.to_array(values["classifier.bias"]) - 2.0 * matrix[:, RAISED]
    for name, value in changed.items():
        values[name].CopyFrom(numpy_helper.from_array(value, name))
    path = tmp_path_factory.mktemp("model") / "raised.onnx"
    onnx.save(found, path)
    return path, matrix.astype(float)


@pytest.fixture(scope="module")
def runs(slimai, model, tmp_path_factory, cache_dir):
    """Return by switch the score and, of the last convolution and the classifier, the deployable model's biases."""
    found = {}
    for switch in ("true", "false", "auto"):
        output = tmp_path_factory.mktemp(f"absorb_{switch}")
        paths = (f"network.input_model={model[0]}", f"path.output_dir={output}", f"path.tmp_dir={cache_dir}")
        done = slimai(*WORDS, *paths, f"quantization.bias_absorption={switch}")
        assert done.returncode == 0, done.stderr
        score = json.loads((output / "run.json").read_text())["candidates"][0]["score"]
        found[switch] = score, biases(onnx.load(output / "mobilenet_digits_quant.onnx"))
    return found


def biases(deployed):
    """Return, as (values, steps), the dequantized biases of the last Conv and of the Gemm of a QDQ model."""
    constants = {item.name: numpy_helper.to_array(item).astype(float) for item in deployed.graph.initializer}
    makers = {name: node for node in deployed.graph.node for name in node.output}
    last = {node.op_type: node for node in deployed.graph.node if node.op_type in ("Conv", "Gemm")}
    found = []
    for op in ("Conv", "Gemm"):
        integers, step = (constants[name] for name in makers[last[op].input[2]].input[:2])
        found.append((integers * step, np.broadcast_to(step, integers.shape)))
    return found


def test_the_constant_part_is_in_the_next_bias(runs, model):
    """Both biases within one step of theirs (each is rounded once a run); the other channels' are not moved."""
    (conv, conv_step), (gemm, gemm_step) = runs["true"][1]
    (conv_before, conv_before_step), (gemm_before, gemm_before_step) = runs["false"][1]
    moved = conv_before - conv
    assert 1.0 < moved[RAISED] < 2.0
    expected = model[1] @ np.where(np.arange(moved.size) == RAISED, moved, 0.0)
    slack = np.abs(model[1][:, RAISED]) * conv_step[RAISED]
    assert (np.abs(gemm - gemm_before - expected) <= gemm_step + gemm_before_step + slack).all()
    others = np.arange(moved.size) != RAISED
    assert (np.abs(moved[others]) <= (conv_step + conv_before_step)[others]).all()


def test_the_score_stays_and_auto_is_off(runs):
    """At most one of 48 pictures is judged otherwise."""
    assert runs["false"][0] > 0.9
    assert abs(runs["true"][0] - runs["false"][0]) <= 1 / 48 + 1e-9
    for ours, theirs in zip(runs["auto"][1], runs["false"][1], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
