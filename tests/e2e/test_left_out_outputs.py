"""`metric.replace_output` may leave outputs out: a detector's landmarks, say."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from slimai import load_config, run
from slimai.errors import InputError


@pytest.fixture
def job(tmp_path):
    """Return the words of a job whose network has two outputs beside the scores; every picture is its own class."""
    weights = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["maps"], kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
        helper.make_node("Relu", ["maps"], ["landmarks"]),
        helper.make_node("Sigmoid", ["maps"], ["mask"]),
    ]
    outputs = {"landmarks": [1, 3, 8, 8], "scores": [1, 3], "mask": [1, 3, 8, 8]}
    graph = helper.make_graph(
        nodes, "three", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "three.onnx")
    for at in range(6):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[..., at % 3] = 100 + 20 * at
        Image.fromarray(pixels).save(tmp_path / f"p{at}.png")
    (tmp_path / "list.txt").write_text("6\n" + "".join(f"p{at}.png {at % 3}\n" for at in range(6)))
    (tmp_path / "job.yaml").write_text(
        f"path: {{image_dir: {tmp_path}, output_dir: {tmp_path}/out}}\n"
        f"network: {{input_model: {tmp_path}/three.onnx, class: Classification, mean: 0, stddev: 255}}\n"
        "dataset: {calibration_set: list.txt, validation_set: list.txt}\n"
        "metric: {metric_cls: top1, output_debug: 2}\n"
    )
    return tmp_path / "job.yaml"


def test_outputs_that_are_left_out(job, tmp_path):
    result = run(load_config(job, "metric.replace_output=[scores]"))
    assert (result.float_result.score, result.score) == (1.0, 1.0)
    out = tmp_path / "out"
    assert (out / "output_control.octrl").read_text() == "[scores] save\n"
    assert [entry["name"] for entry in json.loads((out / "run.json").read_text())["outputs"]] == ["scores"]
    assert {path.name for path in (out / "job_ref").iterdir()} == {f"p{at}_scores.blob" for at in range(6)}
    # the delivered network keeps all of its outputs
    delivered = onnx.load(out / "job_quant.onnx")
    assert [item.name for item in delivered.graph.output] == ["landmarks", "scores", "mask"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("[scores,scores]", "metric.replace_output: names scores twice; name each output once"),
        ("[score]", "metric.replace_output: the network has no output 'score' (got ['score']); the outputs are "),
    ],
)
def test_what_is_still_wrong(job, names, message):
    with pytest.raises(InputError) as caught:
        run(load_config(job, f"metric.replace_output={names}"))
    assert message in str(caught.value)
