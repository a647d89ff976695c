"""A whole job on a pre-quantized network: no calibration, scores, profiles, exports, inspect and simulate."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from small_network import small_network
from tflite_builder import every_tensor, reference_interpreter

from slimai.app.api import load_config, run, validate
from slimai.app.cli import main
from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.prequantized import stored_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

IMAGES = 12
CONFIG = """\
path: {{image_dir: {folder}, input_dir: {folder}, output_dir: {folder}/out, tmp_dir: {folder}/tmp}}
network:
  name: small
  input_model: small.tflite
  model_type: quantized
  class: Classification
  input_data_layout: NHWC
  mean: 0
  stddev: 255
dataset: {{validation_set: val.txt}}
quantization: {{accuracy_level: [0, 1, 2, 3]}}
metric: {{metric_cls: top1}}
"""


@pytest.fixture(scope="module")
def answers():
    """Return pixels [N, 8, 8, 3] uint8 and LiteRT's classes for them."""
    pixels = np.random.default_rng(9).integers(0, 256, (IMAGES, 8, 8, 3)).astype(np.uint8)
    interpreter = reference_interpreter(small_network())
    outputs = [every_tensor(interpreter, [(x[None].astype(int) - 128).astype(np.int8)])[14] for x in pixels]
    return pixels, np.concatenate(outputs)


@pytest.fixture(scope="module")
def job(tmp_path_factory, answers):
    """Return the folder of a finished job, whose labels are LiteRT's own answers, and what it found."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "small.tflite").write_bytes(small_network())
    pixels, outputs = answers
    for index, x in enumerate(pixels):
        np.save(folder / f"{index}.npy", x)
    lines = [f"{index}.npy {int(found.argmax())}" for index, found in enumerate(outputs)]
    (folder / "val.txt").write_text("\n".join([str(len(lines)), *lines]) + "\n")
    (folder / "small.yaml").write_text(CONFIG.format(folder=folder))
    return folder, run(load_config(folder / "small.yaml"))


def test_the_scores(job):
    _, found = job
    assert found.float_result.score == 1.0
    by_level = {item.candidate.level: item for item in found.candidates}
    assert sorted(by_level) == [0, 1, 2, 3]
    assert by_level[3].score == 1.0
    assert by_level[0].score == by_level[1].score >= 0.5
    assert all(item.latency_ms > 0 for item in found.candidates)
    assert found.host_layers == ()


def test_the_files(job):
    folder, found = job
    output = folder / "out"
    document = json.loads((output / "run.json").read_text())
    assert document["reference"] == "the network's own integers (level 3, weights as stored), dequantized"
    assert document["images"] == {"calibration": 0, "validation": IMAGES}
    level = found.best.candidate.level
    profile = (output / f"acc{level}" / "small_stored.yaml").read_text()
    assert "NodeOutputName" in profile
    assert "FloatMin" not in profile
    assert (output / "report.html").stat().st_size > 1000
    with np.load(output / "small_quant.npz", allow_pickle=False) as tables:
        assert any(array.dtype == np.int8 for array in tables.values())


def test_the_exported_model_says_what_the_delivered_integers_say(job, answers):
    folder, found = job
    pixels, _ = answers
    plan = stored_plan(load_tflite(folder / "small.tflite"), found.best.candidate.level)
    target = TargetSection()
    arithmetic = target.native.asym8 if plan.level == 3 else target.native.sym8
    feeds = {"image": pixels.astype(np.float32) / np.float32(255)}
    program = compile_plan(plan, target, arithmetic=arithmetic)
    expected = program.dequantize(program.run(feeds))["classes"]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession((folder / "out" / "small_quant.onnx").read_bytes(), options)
    (real,) = session.run(None, feeds)
    # one step of a logit moves a probability by a quarter of it; the softmax itself rounds twice
    allowed = plan.tensors["logits"].scale / 4 + 2 * plan.tensors["classes"].scale
    assert np.abs(real - expected).max() <= allowed
    assert np.mean(np.abs(real - expected) > plan.tensors["classes"].scale / 2) < 0.2


def test_a_second_run_gives_the_same_bytes(job):
    folder, _ = job
    names = ["run.json", "FixedPoint_Results.txt", "small_quant.onnx", "small_quant.npz"]
    before = {name: (folder / "out" / name).read_bytes() for name in names}
    run(load_config(folder / "small.yaml"))
    assert before == {name: (folder / "out" / name).read_bytes() for name in names}


@pytest.mark.slow
def test_two_workers_find_the_same(job, tmp_path):
    folder, found = job
    words = [folder / "small.yaml", f"path.output_dir={tmp_path}", "+smart_search.workers=2"]
    again = run(load_config(*words))
    assert [item.score for item in again.candidates] == [item.score for item in found.candidates]


def test_debug_dumps(job, tmp_path):
    folder, _ = job
    words = [folder / "small.yaml", f"path.output_dir={tmp_path}", "metric.output_debug=3"]
    run(load_config(*words, "quantization.accuracy_level=3", "dataset.validation_count=2"))
    assert list(tmp_path.rglob("*.blob"))


def test_level_four_and_a_damaged_model_are_refused(job, tmp_path):
    folder, _ = job
    found = validate(folder / "small.yaml", "quantization.accuracy_level=[3,4]", deep=True)
    assert any(
        "a pre-quantized model has 8-bit activations (levels 0 to 3) or 16-bit ones (level 4)" in item.message
        for item in found
    )
    (tmp_path / "small.tflite").write_bytes(small_network()[:900])
    found = validate(folder / "small.yaml", f"path.input_dir={tmp_path}", deep=True)
    assert [item.file for item in found] == [str(tmp_path / "small.tflite")]
    assert "is a damaged TFLite file" in found[0].message


def test_inspect(job, capsys):
    folder, _ = job
    assert main(["inspect", str(folder / "small.tflite")]) == 0
    text = capsys.readouterr().out
    assert "DepthwiseConv" in text
    assert "0 on the host" in text


def test_simulate_gives_litert_s_integers(job, answers, tmp_path):
    folder, _ = job
    pixels, outputs = answers
    np.savez(tmp_path / "in.npz", image=(pixels.astype(int) - 128).astype(np.int8))
    words = ["--inputs", str(tmp_path / "in.npz"), "--outputs", str(tmp_path / "out.npz")]
    assert main(["simulate", str(folder / "small.tflite"), *words]) == 0
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["classes"], outputs)
