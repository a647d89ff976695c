"""The example ONNX files: small, valid, of the promised shapes, and as accurate as the README says."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
MODELS = EXAMPLES / "data" / "models"
SHAPES = {
    "yolo_digits": ((3, 128, 128), {"coarse": (45, 8, 8), "fine": (45, 16, 16)}),
    "mobilenet_digits": ((3, 32, 32), {"logits": (10,)}),
    "unet_digits": ((3, 96, 96), {"logits": (6, 96, 96)}),
}
OPERATORS = {
    "yolo_digits": {"Conv", "BatchNormalization", "Relu", "Clip", "LeakyRelu", "Add", "Resize", "Concat"},
    "mobilenet_digits": {"Conv", "BatchNormalization", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"},
    "unet_digits": {"Conv", "Relu", "Clip", "Add", "MaxPool", "Resize", "ConvTranspose", "Concat"},
}


@pytest.fixture(scope="module")
def evaluate():
    """Return the module examples/evaluate.py; path and modules are put back afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(EXAMPLES))
    try:
        import evaluate as module

        yield module
    finally:
        sys.path[:] = [entry for entry in sys.path if entry != str(EXAMPLES)]
        for name in {"evaluate", "generate", "canvas"} - before:
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", SHAPES)
def test_file_is_valid_and_small(name):
    path = MODELS / f"{name}.onnx"
    assert path.stat().st_size <= 600_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [13]
    kinds = Counter(node.op_type for node in model.graph.node)
    assert set(kinds) - {"Constant", "Identity"} == OPERATORS[name]


@pytest.mark.parametrize("name", ["yolo_digits", "mobilenet_digits", "unet_digits"])
def test_networks_have_depthwise_convolutions(name):
    model = onnx.load(MODELS / f"{name}.onnx")
    groups = [a.i for node in model.graph.node if node.op_type == "Conv" for a in node.attribute if a.name == "group"]
    assert max(groups) > 1


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", SHAPES)
def test_outputs_have_the_promised_names_and_shapes(name, batch):
    shape, outputs = SHAPES[name]
    session = onnxruntime.InferenceSession(MODELS / f"{name}.onnx", providers=["CPUExecutionProvider"])
    results = session.run(None, {"images": np.zeros((batch, *shape), np.float32)})
    assert [entry.name for entry in session.get_outputs()] == list(outputs)
    assert [result.shape for result in results] == [(batch, *rest) for rest in outputs.values()]
    assert all(np.isfinite(result).all() for result in results)


@pytest.mark.parametrize("name", SHAPES)
def test_preset_preprocesses_and_decodes_like_the_training(evaluate, name):
    stem = "yolo" if name == "yolo_digits" else name
    preset = yaml.safe_load((EXAMPLES.parent / "conf" / "model" / f"{stem}.yaml").read_text(encoding="utf-8"))
    network, example = preset["network"], evaluate.EXAMPLES[name]
    for key in ("mean", "stddev"):
        np.testing.assert_array_equal(np.broadcast_to(network[key], 3), getattr(example, key))
    assert preset["path"]["image_dir"].endswith(f"/{example.data}")
    assert network["input_model"].endswith(f"/{name}.onnx")
    if name == "yolo_digits":
        options = preset["metric"]["metric_input"]
        assert options["anchors"] == [[list(pair) for pair in bracket] for bracket in evaluate.ANCHORS]
        assert tuple(options["voc_labels"]) == evaluate.CLASSES


@pytest.mark.parametrize(("name", "least"), [("yolo_digits", 0.90), ("mobilenet_digits", 0.97), ("unet_digits", 0.85)])
def test_float_score_reaches_its_goal(evaluate, name, least):
    pytest.importorskip("pycocotools")
    _, value = evaluate.score(name, MODELS / f"{name}.onnx")
    assert least <= value <= 1.0


def test_constant_outputs_score_near_zero(evaluate):
    """The evaluation itself must be able to fail: constant outputs detect nothing."""
    folder = EXAMPLES / "data" / "digits_det"
    lines = evaluate.read_list(folder, "val")[:4]
    heads = [np.zeros((len(lines), 45, side, side), np.float32) for side in (8, 16)]
    assert evaluate.mean_average_precision(heads, folder, lines) < 0.05
